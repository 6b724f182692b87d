"""What a CASIC receiver (AT6558R, firmware URANUS5) does with PCAS sentences. Pure.

Source: CASIC Multimode Satellite Navigation Receiver Protocol Specification, V4.2.0.3, PCAS00 to PCAS10. Only PCAS06 is
answered; a wrong checksum, an unknown number or value is passed over in silence.
"""

from dataclasses import replace

from firmware_sim.receiver.commands import Command, Sentence
from firmware_sim.receiver.sentences import sentence
from firmware_sim.receiver.settings import BAUDS, MAX_INTERVAL_MS, MIN_INTERVAL_MS, Output

_BAUD = dict(enumerate(BAUDS[:6]))  # PCAS01: 0 is 4800 ... 5 is 115200
_MIX = ("GGA", "GLL", "GSA", "GSV", "RMC", "VTG", "ZDA", "TXT")  # PCAS03's first fields; the eighth is antenna texts
_MAX_EVERY = 9
_SYSTEMS = {  # PCAS04: bits of GPS, BeiDou, GLONASS
    str(mask): tuple(name for bit, name in enumerate(("GPS", "BeiDou", "GLONASS")) if mask & 1 << bit)
    for mask in range(1, 8)
}
_RESTARTS = {"0": "hot", "1": "warm", "2": "cold", "3": "cold"}
_PRODUCT = {  # PCAS06, as an ATGM336H with that firmware answers
    "0": "SW=URANUS5,V5.3.0.0",
    "1": "HW=ATGM336H,0001170603610",
    "5": "BS=SOC_BootLoader,V6.2.0.2",
}


def answer(output: Output, command: Command) -> tuple[Output, bytes]:
    if not isinstance(command, Sentence) or not command.intact:
        return output, b""
    name, *fields = command.fields
    first = fields[0] if fields else ""
    if name == "PCAS01" and first.isdecimal():
        return replace(output, baud=_BAUD.get(int(first), output.baud)), b""
    if name == "PCAS02" and first.isdecimal() and MIN_INTERVAL_MS <= int(first) <= MAX_INTERVAL_MS:
        return replace(output, interval_ms=int(first)), b""
    if name == "PCAS03":
        told = {
            kind: int(field)
            for kind, field in zip(_MIX, fields, strict=False)
            if field.isdecimal() and int(field) <= _MAX_EVERY  # an empty field leaves its sentence as it is
        }
        return output.with_sentences(told), b""
    if name == "PCAS04" and first in _SYSTEMS:
        return replace(output, systems=_SYSTEMS[first], restart="hot"), b""
    if name == "PCAS06":
        return output, _product(first, output)
    if name == "PCAS10" and first in _RESTARTS:
        return replace(output, restart=_RESTARTS[first]), b""
    return output, b""


def _product(what: str, output: Output) -> bytes:
    if what == "2":
        letters = {"GPS": "G", "BeiDou": "B", "GLONASS": "R"}
        return sentence(f"GPTXT,01,01,02,MO={''.join(letters.get(system, '') for system in output.systems)}")
    return sentence(f"GPTXT,01,01,02,{_PRODUCT[what]}") if what in _PRODUCT else b""
