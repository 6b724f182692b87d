"""[power] of unit.toml: when the unit slows down, when it halts to save the starter, what it draws. Pure.

Voltages are those of a 12 V system; in a 24 V truck they are doubled. Rest voltages follow the table in `battery.py`:
12.45 V is 75 % charged, 12.24 V 50 %, 12.06 V 25 %, 11.89 V empty. The defaults leave the battery at about half its
charge, because a cold starter fails long before the battery is empty and because an adapter reads 2 % wrong
(ELM327 data sheet, "Reading the Battery Voltage": ±0.24 V) unless the installer measures and sets `adapter_offset_v`.

The currents are for a Raspberry Pi Zero 2 W behind a buck converter, with a Cat-1 LTE modem, a receiver and an ELM327
adapter, at 12 V. What they are made of:

- board idle 120 mA at 5 V (measured by CNX Software, "Raspberry Pi Zero 2 W power consumption", 2021): 600 mW;
- modem, a connection held open: 7 mA at 3.8 V (openLuat, Air780 low-power guide): 27 mW; ten times as much while a
  batch goes out each minute (assumption);
- receiver with active antenna: 30 mA at 3.3 V (assumption): 100 mW; converter 85 % efficient (assumption);
- adapter: asking 40 mA, telling its own voltage only 20 mA, asleep 3 mA, at 12 V (assumptions);
- so driving and idle 970 mW / 0.85 + 40 mA = 135 mA, parked 727 mW / 0.85 + 20 mA = 92 mA, saving 620 mW / 0.85 +
  20 mA = 81 mA;
- a scheduled wake-up: it boots, the modem attaches, the receiver starts cold: 150 mA (assumption);
- halted, by a HAT that cuts the 5 V rail: 1.7 mA at 3.7 V (PiJuice#1078, measured) + the adapter asleep + the
  converter: 5 mA. Without such a HAT a halted Pi still draws tens of mA.

A Raspberry Pi 4 idles at about 540 mA at 5 V (assumption): 265 mA at 12 V. The installer measures with a meter in the
supply line and sets the figures.
"""

from dataclasses import dataclass

from edge_agent.settings import ConfigError, setting

SLEEP_BACKENDS = ("none", "rtc", "command", "simulated")


@dataclass(frozen=True, slots=True)
class PowerSettings:
    """What an installer may tell of the supply. The server may change only what cannot endanger the starter."""

    supply: str = setting(
        "permanent: wired to the battery; switched: dead without ignition",
        "permanent",
        choices=("permanent", "switched"),
    )
    system: str = setting(
        "battery voltage of the vehicle; auto tells 12 from 24 V by measuring", "auto", choices=("auto", "12", "24")
    )
    adapter_offset_v: float = setting("multimeter less adapter reading, V", 0.0, low=-1.0, high=1.0)

    charging_v: float = setting("at and above it the alternator charges, V", 13.0, low=12.8, high=13.8)
    saver_below_v: float = setting("resting below it, the unit saves, V", 12.35, low=12.0, high=12.7)
    recovered_v: float = setting("resting above it, a low battery has recovered, V", 12.55, low=12.3, high=12.9)
    cutoff_v: float = setting("resting below it, the unit halts to save the starter, V", 12.2, low=11.8, high=12.6)
    cutoff_after_s: float = setting("how long it must rest below, s", 300.0, low=120.0, high=1800.0)

    standing_after_s: float = setting("without motion for so long, the vehicle stands, s", 60.0, low=10.0, high=600.0)
    parked_after_s: float = setting(
        "engine off and standing for so long, it is parked, s", 180.0, low=30.0, high=1800.0
    )
    parked_unknown_after_s: float = setting(
        "the same where nothing tells the engine's state, s", 900.0, low=120.0, high=7200.0
    )
    saver_after_h: float = setting("parked for so long, the unit saves, h", 24.0, low=1.0, high=720.0, remote=True)

    saver_fix_every_min: float = setting(
        "a fix, sent, while saving without halting, min", 60.0, low=15.0, high=1440.0, remote=True
    )

    sleep: str = setting(
        "how the unit is halted and woken; none: it never is, and nothing protects the starter",
        "none",
        choices=SLEEP_BACKENDS,
    )
    wakes_on_ignition: bool = setting("the hardware wakes the unit when the vehicle is started or moved", False)
    wake_every_h: float = setting("halted while saving: wake for a fix, h", 6.0, low=1.0, high=168.0, remote=True)
    wake_check_h: float = setting("halted by a low battery: wake for a check, h", 24.0, low=6.0, high=168.0)
    visit_max_min: float = setting("how long a scheduled wake-up may last, min", 5.0, low=1.0, high=15.0, remote=True)
    rtc: str = setting("sleep = rtc: the clock's folder", "/sys/class/rtc/rtc0")
    halt_command: str = setting(
        "powers the unit off; {seconds} until the wake-up (0: none), {volts} to wake at", "systemctl poweroff"
    )
    woken_command: str = setting(
        "prints what woke the unit: timer, voltage, motion, power or button; empty: unknown", ""
    )

    online_file: str = setting(
        "says whether external power is there: a GPIO value or .../online; auto: look; empty: nothing says", ""
    )
    online_value: str = setting("what online_file holds while it is", "1")
    volts_file: str = setting("supply voltage, such as .../voltage_now; empty: none", "")
    volts_scale: float = setting("times this gives V", 1e-6, low=1e-9, high=1000.0)
    current_file: str = setting("current into the unit, such as .../current_now; empty: none", "")
    current_scale: float = setting("times this gives mA", 1e-3, low=1e-9, high=1000.0)
    cut_after_ms: float = setting("external power gone for so long is a cut, ms", 120.0, low=50.0, high=2000.0)
    backup_s: float = setting(
        "after a cut, halt when the backup has served so long, s", 1800.0, low=30.0, high=86_400.0, remote=True
    )

    driving_ma: float = setting("drawn at 12 V while driving, mA", 135.0, low=0.1, high=5000.0)
    idle_ma: float = setting("drawn with the engine on, standing, mA", 135.0, low=0.1, high=5000.0)
    parked_ma: float = setting("drawn while parked, mA", 92.0, low=0.1, high=5000.0)
    saver_ma: float = setting("drawn while saving, awake, mA", 81.0, low=0.1, high=5000.0)
    visit_ma: float = setting(
        "drawn while awake for a scheduled fix, booting included, mA", 150.0, low=0.1, high=5000.0
    )
    halted_ma: float = setting("drawn while halted, mA", 5.0, low=0.0, high=1000.0)

    def __post_init__(self) -> None:
        """Raises ConfigError where two thresholds contradict each other."""
        if not self.cutoff_v < self.saver_below_v < self.recovered_v < self.charging_v:
            raise ConfigError("[power]: cutoff_v, saver_below_v, recovered_v and charging_v must ascend")
