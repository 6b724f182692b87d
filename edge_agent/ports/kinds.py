"""Which serial ports may be opened and asked while a device is looked for, and why the others are left alone. Pure.

Listening disturbs little; writing may disturb much, so only ports behind which an ELM327 can be are asked. What is left
alone, and the reason:

* the system's console: `ATI` would be typed at a login prompt;
* cellular modems, by their kernel driver or, where they use the driver for USB modems of any kind (cdc_acm), by their
  USB vendor: the network connection runs through these ports, and ModemManager speaks on them;
* Bluetooth (rfcomm): opening such a port pages the other side by radio, which takes seconds and may wake a phone.

A USB device whose maker is neither a known bridge chip nor a known modem is listened to and never written to: a board
behind it may take any byte for a command. A person who knows better names the port in `[ports] look_in`, or writes down
its path.
"""

from dataclasses import dataclass
from enum import IntEnum


class May(IntEnum):
    """How far to go at a port."""

    NOTHING = 0  # not even opened
    LISTEN = 1
    ASK = 2  # ATI may be written, once the port is known to be quiet


@dataclass(frozen=True, slots=True)
class Candidate:
    """A port that may have a device behind it. `path` is the device itself, never a link to it."""

    path: str
    vendor: int | None = None  # USB; None: a UART of the board, or a pty
    product: int | None = None
    driver: str = ""  # the kernel's
    location: str = ""  # the USB socket, such as "1-1.2": stays when numbers change
    listed: bool = False  # named in [ports] look_in
    stamp: tuple[int, int] = (0, 0)  # inode and change time of the device node: another one after replugging


@dataclass(frozen=True, slots=True)
class Listing:
    """The ports of one moment; two listings are equal while nothing came or went."""

    ports: tuple[Candidate, ...] = ()  # by path
    consoles: frozenset[str] = frozenset()  # paths
    left_alone: frozenset[str] = frozenset()  # paths


# Linux, drivers/usb/serial: option.c ("USB Driver for GSM modems", registered as option1), qcserial.c, sierra.c, ipw.c;
# drivers/net/usb/hso.c.
MODEM_DRIVERS = frozenset({"option1", "option", "qcserial", "sierra", "ipw", "hso"})
# Vendors of modems that may appear as cdc_acm; vendor numbers from option.c and sierra.c.
MODEM_VENDORS = {
    0x05C6: "Qualcomm",
    0x0AF0: "Option",
    0x1199: "Sierra Wireless",
    0x12D1: "Huawei",
    0x1410: "Novatel",
    0x1546: "u-blox",
    0x19D2: "ZTE",
    0x1BBB: "Alcatel",
    0x1BC7: "Telit",
    0x1C9E: "Longcheer",
    0x1E0E: "SIMCom",
    0x1E2D: "Cinterion",
    0x2C7C: "Quectel",
    0x2CB7: "Fibocom",
    0x2DEE: "MeiG",
}
# u-blox gives its receivers 01A4 to 01AA and more, its modems 1100 and up (gpsd, gpsd.rules; option.c).
UBLOX, UBLOX_RECEIVERS = 0x1546, range(0x01A0, 0x01B0)
# Bridges from USB to a UART, which is what adapters are built with.
BRIDGE_DRIVERS = frozenset(
    {
        "ftdi_sio",
        "cp210x",
        "ch341",
        "ch341-uart",
        "ch343",
        "pl2303",
        "cypress",
        "ark3116",
        "f81232",
        "mcp2221",
        "xr_serial",
    }
)
# Bridges and adapters that use cdc_acm: Microchip (MCP2221 and PIC18 adapters), WCH (CH342, CH343), Exar, FTDI.
BRIDGE_VENDORS = frozenset({0x04D8, 0x1A86, 0x04E2, 0x0403})


def may(candidate: Candidate, listing: Listing) -> tuple[May, str]:
    """How far to go at `candidate`, and what a person should know about it ("" where there are no limits)."""
    if candidate.path in listing.left_alone:
        return May.NOTHING, "left alone by [ports] leave_alone"
    if candidate.path in listing.consoles:
        return May.NOTHING, "left alone: the system's console"
    modem = _modem(candidate)
    if modem:  # it would answer ATI itself
        return (May.LISTEN, f"not asked: {modem}") if candidate.listed else (May.NOTHING, f"left alone: {modem}")
    if candidate.listed:
        return May.ASK, ""
    if candidate.path.startswith("/dev/rfcomm"):
        return May.NOTHING, "left alone: Bluetooth; name it in [ports] look_in, or by its path"
    if candidate.vendor == UBLOX:
        return May.LISTEN, "not asked: a u-blox receiver"
    if candidate.vendor is None or candidate.driver in BRIDGE_DRIVERS or candidate.vendor in BRIDGE_VENDORS:
        return May.ASK, ""
    usb = f"{candidate.vendor:04x}:{candidate.product or 0:04x}"
    return May.LISTEN, f"not asked: {usb} is no known bridge; name it in [ports] look_in, or by its path"


def _modem(candidate: Candidate) -> str:
    """What kind of modem this is; "" for none."""
    if candidate.vendor == UBLOX and candidate.product in UBLOX_RECEIVERS:
        return ""
    if candidate.vendor in MODEM_VENDORS:
        return f"a modem by {MODEM_VENDORS[candidate.vendor]}"
    return f"a modem (driver {candidate.driver})" if candidate.driver in MODEM_DRIVERS else ""
