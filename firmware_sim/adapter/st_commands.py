"""The ST commands of an STN1110: what clients use to tell the chip, to choose protocols and to send.

Source: OBD Solutions, STN1100 Family Reference and Programming Manual, sections 6.1 to 6.6. Sleep triggers and the
UART's rate are accepted and change nothing.
"""

import re
from dataclasses import replace

from firmware_sim.adapter.commands import (
    PROTOCOL_NAMES,
    UNKNOWN,
    Act,
    Done,
    Looks,
    Row,
    choose_protocol,
    close_protocol,
    does,
    ok,
    rows,
    run_row,
    says,
)
from firmware_sim.adapter.settings import Settings

# STP number → AT SP number (section 6.4, "Protocols")
_STP = {"11": "1", "12": "2", "22": "3", "24": "4", "25": "5", "33": "6", "34": "7", "35": "8", "36": "9"}
_NUMBER = {at: st for st, at in _STP.items()}
_SENDS = re.compile(r"PXH:(?P<header>[0-9A-F]{3}|[0-9A-F]{8}),D:(?P<data>[0-9A-F]{2,16})(?:,(?:R|T):[0-9]+)*")


def run_st(command: str, settings: Settings, looks: Looks) -> Done:
    """Carry out what stands behind `ST` (capitals, no spaces)."""
    return run_row(_ROWS, command, 0, settings, looks)


def sent_by(command: str) -> tuple[int, str] | None:
    """STPX H:header, D:data: the header and the request in hex digits; None for every other command."""
    match = _SENDS.fullmatch(command)
    return (int(match["header"], 16), match["data"]) if match else None


def _protocol(settings: Settings, arg: str, looks: Looks) -> Done:
    return choose_protocol(settings, _STP[arg], looks) if arg in _STP else Done(settings, (UNKNOWN,))


def _timeout(settings: Settings, arg: str, _looks: Looks) -> Done:
    """STPTO: milliseconds where AT ST has steps of four."""
    return Done(replace(settings, timeout=max(1, round(int(arg) / 4)), timing=0))


_ROWS: tuple[Row, ...] = rows(
    ("BR", "[0-9]{3,7}", "1.0", lambda settings, _arg, _looks: Done(settings, (UNKNOWN,))),  # one rate, see AT BRD
    ("BRT", "[0-9]{1,5}", "1.0", ok),
    ("DI", "", "1.0", says(lambda _s, _l: "OBDLink r1.7")),
    ("FAP", "[0-9A-F]+,[0-9A-F]+", "1.0", ok),
    ("FAB", "[0-9A-F]+,[0-9A-F]+", "1.0", ok),
    ("FAFC", "[0-9A-F]+,[0-9A-F]+", "1.0", ok),
    ("FC", "[PBF]C?", "1.0", ok),
    ("CAFCP", "[0-9A-F]+,[0-9A-F]+", "1.0", ok),
    ("CCFCP", "", "1.0", ok),
    ("IAT", "[01]", "1.0", ok),
    ("I", "", "1.0", says(lambda _s, looks: looks.chip)),
    ("MFR", "", "1.0", says(lambda _s, _l: "OBD Solutions LLC")),
    ("MA", "", "1.0", does(Act.MONITOR)),
    ("M", "", "1.0", does(Act.MONITOR)),
    ("PRS", "", "1.0", says(lambda settings, _l: PROTOCOL_NAMES[settings.protocol])),
    ("PR", "", "1.0", says(lambda settings, _l: _NUMBER.get(settings.protocol, "0"))),
    ("PTO", "[0-9]{1,5}", "1.0", _timeout),
    ("PBR", "[0-9]{3,7}", "1.0", ok),
    ("PC", "", "1.0", close_protocol),
    ("PO", "", "1.0", ok),
    ("P", "[0-9]{2}", "1.0", _protocol),
    ("SN", "", "1.0", says(lambda _s, _l: "111000000001")),
    ("SLEEP", "[0-9]{0,5}", "1.0", does(Act.SLEEP, "OK")),
    ("SLUIT", "[0-9]{1,5}", "1.0", ok),
    ("VR", "", "1.0", says(lambda _s, looks: f"{looks.car.battery_v:.2f}")),
)
