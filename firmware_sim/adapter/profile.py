"""What an adapter is: its chip, its manners and its faults, as one value; and what can befall it while it runs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast bytes leave an adapter, and how long its own work takes. All values in seconds but `baud`."""

    baud: int = 38_400
    packet_s: float = 0.001  # the bridge hands bytes over in steps of this: USB 1 ms, Bluetooth tens of ms
    command_s: float = 0.004  # an AT command's own work
    reset_s: float = 0.85  # AT Z until its banner: ELMduino issue 100 shows 0.80 s, rusefi issue 3655 0.82 s (STN1110)
    link_s: float = 0.0  # before every answer: a radio link's way there and back


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of adapter. Where a fault is not set, it does as the data sheet says.

    The patterns (`refused`, `mute`, `ignored`, `locks_up_at`) are regular expressions that must match a whole command
    without AT or ST, spaces gone.
    """

    name: str
    about: str  # one sentence and its sources
    version: str = "ELM327 v1.5"
    level: str = "1.4"  # of commands.LEVELS: the newest commands it knows
    device: str = "OBDII to RS232 Interpreter"
    chip: str | None = None  # STI; None: no ST commands
    pace: Pace | None = Pace()  # None: every answer is there at once
    lead: bytes = b""  # noise before the banner of AT Z
    refused: str = ""  # answered with "?"
    mute: str = ""  # not answered at all, not even with a prompt
    ignored: str = ""  # answered with OK, and nothing changes
    locks_up_at: str = ""  # hangs until its power is cut
    echo_at_reset: bool = True
    echo_twice: bool = False
    init_dots: str = "..."  # printed while a K-line is woken at five bauds
    no_car: str = "UNABLE TO CONNECT"  # the end of a search without success
    late_prompt_share: float = 0.0  # answers whose end, carriage return and prompt, comes only after a pause
    late_prompt_s: float = 0.0
    drop_prompt_share: float = 0.0  # answers without a prompt
    drop_byte_share: float = 0.0  # of the bytes of the car's answers
    frames_twice: bool = False  # each frame is printed two times
    counts_messages: bool = False  # the digit behind a request counts messages, not frames
    request_bytes: int = 7  # of a request; what is longer is cut
    freezes_after_chars: int | None = None  # of one answer; then it hangs until its power is cut
    hangs_after_requests: int | None = None  # since its power came
    brown_out_v: float = 6.5  # below this supply the chip stops, and begins anew when it is back
    says_low_voltage: bool = True  # then it prints LV RESET; otherwise its banner


@dataclass(frozen=True, slots=True)
class AdapterFaults:
    """What can befall any adapter, for as long as it lasts. Shares are probabilities, 0 to 1."""

    unplugged: bool = False  # no power from the car: nothing is said, settings are lost
    hung: bool = False  # says nothing, not even an echo; ends as by a cut of its power
    silent_car: bool = False  # the bus is there and no ECU answers
    brown_out: bool = False  # the supply dips; the chip resets when it is back
    bus_error: str = ""  # printed instead of the car's answer: ERR93, CAN ERROR, BUFFER FULL, DATA ERROR, ...
    bus_error_share: float = 1.0  # of the car's answers, where `bus_error` is set
    garbage_share: float = 0.0  # bytes replaced by noise
    drop_byte_share: float = 0.0
    drop_prompt_share: float = 0.0
    late_s: float = 0.0  # every answer comes so much later
    echo_stuck: bool = False  # AT E0 is accepted and the echo stays


NO_FAULTS = AdapterFaults()
