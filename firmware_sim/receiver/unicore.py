"""What Unicore receivers do with commands: UFirebird (UM620 series) and N4 (UM980). Pure.

Sources
* UFirebird: Unicore Standard Positioning Products Protocol Specification R4 (PDTINFO, CFGMSG, CFGNAV, CFGPRT, CFGSYS,
  RESET; `$OK` or `$FAIL,<reason>`: 0 unknown, 1 wrong field, 2 wrong checksum). Commands come with or without a
  checksum. CFGNAV brings the default mix back and wants 1000 as its third field; the product line is that of a UM621,
  as kept in a test of another reader.
* N4: Unicore Reference Commands Manual for N4 High Precision Products (UNLOG, LOG, VERSION, CONFIG, SAVECONFIG, RESET).
  `$command,...,response: OK*XX`: this checksum covers the `$` too ("$command,VERSIONA,response: OK*45" is recorded);
  a log's CRC-32 is of what is between `#` and `*`, starting from zero (a recorded #VERSIONA is in the tests).
"""

import re
from dataclasses import replace
from functools import reduce
from math import gcd
from operator import xor
from zlib import crc32

from firmware_sim.receiver.commands import Command, Line, Sentence
from firmware_sim.receiver.sentences import sentence
from firmware_sim.receiver.settings import BAUDS, DEFAULT_SENTENCES, MAX_INTERVAL_MS, MIN_INTERVAL_MS, SENTENCES, Output

_FIREBIRD_IDS = {"0": "GGA", "1": "GLL", "2": "GSA", "3": "GSV", "4": "RMC", "5": "VTG", "6": "ZDA"}
_PRODUCT = "PDTINFO,UM621-02,G1B1L1E1,V1.2,R6.0.0.0Build2810,2310414000033,000101114303845"
_UNKNOWN, _BAD_FIELD, _BAD_CHECKSUM = "FAIL,0", "FAIL,1", "FAIL,2"
_RESTARTS = {"h00": "hot", "h01": "warm"}
_SYSTEM_BITS = (("GPS", 0x01), ("BeiDou", 0x10), ("GLONASS", 0x20), ("Galileo", 0x40))  # of CFGSYS's mask
_N4_VERSION = (
    'VERSIONA,97,GPS,FINE,2343,48235000,0,0,18,813;"UM980","R4.10Build11833","HRPT00-S10C-P",'
    '"2310415000001-MD22A2225022497","ff3ba396dcb0478d","2023/11/24"'
)
_N4_LOG = re.compile(r"(?:LOG )?(?:COM[1-3] )?G[NP]([A-Z]{3})(?: COM[1-3])?(?: ONTIME)? (\d+(?:\.\d+)?)", re.IGNORECASE)
_N4_UNLOG = re.compile(r"UNLOG(?: COM[1-3])?(?: G[NP]([A-Z]{3}))?", re.IGNORECASE)
_N4_BAUD = re.compile(r"CONFIG COM[1-3] (\d+)", re.IGNORECASE)
_N4_RESTARTS = {"RESET": "hot", "RESET EPHEM": "warm", "RESET ALL": "cold", "FRESET": "cold"}


def answer_firebird(output: Output, command: Command) -> tuple[Output, bytes]:
    if not isinstance(command, Sentence):
        return output, b""
    if command.intact is False:
        return output, sentence(_BAD_CHECKSUM)
    if command.body == "PDTINFO":
        return output, sentence(_PRODUCT) + sentence("OK")
    name, *fields = command.fields
    if name not in ("CFGMSG", "CFGNAV", "CFGPRT", "CFGSYS", "RESET"):
        return output, sentence(_UNKNOWN)
    changed = _firebird(output, name, fields)
    return (output, sentence(_BAD_FIELD)) if changed is None else (changed, sentence("OK"))


def _firebird(output: Output, name: str, fields: list[str]) -> Output | None:
    if name == "CFGMSG" and len(fields) == 3 and fields[0] == "0" and fields[1] in _FIREBIRD_IDS:
        return output.with_sentences({_FIREBIRD_IDS[fields[1]]: int(fields[2])}) if fields[2].isdecimal() else None
    if name == "CFGNAV" and len(fields) == 3 and fields[0] == fields[1] and fields[2] == "1000":
        mix = {kind: int(kind in DEFAULT_SENTENCES["unicore"]) for kind in SENTENCES}
        interval_ms = int(fields[0]) if fields[0].isdecimal() else 0
        fits = MIN_INTERVAL_MS <= interval_ms <= MAX_INTERVAL_MS
        return replace(output.with_sentences(mix), interval_ms=interval_ms) if fits else None
    if name == "CFGPRT" and len(fields) == 5 and fields[2].isdecimal() and int(fields[2]) in BAUDS:
        return replace(output, baud=int(fields[2]))
    if name == "CFGSYS" and len(fields) == 1 and re.fullmatch(r"h[0-9A-Fa-f]{1,8}", fields[0]):
        mask = int(fields[0][1:], 16)
        systems = tuple(system for system, bit in _SYSTEM_BITS if mask & bit)
        return replace(output, systems=systems, restart="hot") if systems else None
    if name == "RESET" and len(fields) == 2 and re.fullmatch(r"h[0-9A-Fa-f]{1,8}", fields[1]):
        return replace(output, restart=_RESTARTS.get(fields[1], "cold"))
    return None


def answer_n4(output: Output, command: Command) -> tuple[Output, bytes]:
    if isinstance(command, Sentence) or not isinstance(command, Line):
        return output, b""
    text = command.text
    word = text.split(" ")[0].upper()
    if word in ("VERSION", "VERSIONA"):
        return output, _said(text, "OK") + n4_log(_N4_VERSION)
    changed = _n4(output, text)
    if changed is not None:
        return changed, _said(text, "OK")
    known = word in ("LOG", "UNLOG", "CONFIG") or _N4_LOG.fullmatch(text)
    return output, _said(text, "PARSING FAILED MISSING FIELD," if known else f"PARSING FAILED NO MATCHING FUNC  {word}")


def _n4(output: Output, text: str) -> Output | None:
    if (log := _N4_LOG.fullmatch(text)) and log[1].upper() in SENTENCES:
        return _n4_period(output, log[1].upper(), round(float(log[2]) * 1000))
    if unlog := _N4_UNLOG.fullmatch(text):
        names = SENTENCES if unlog[1] is None else (unlog[1].upper(),)
        return output.with_sentences(dict.fromkeys(names, 0)) if set(names) <= set(SENTENCES) else None
    if (baud := _N4_BAUD.fullmatch(text)) and int(baud[1]) in BAUDS:
        return replace(output, baud=int(baud[1]))
    if text.upper() in _N4_RESTARTS:
        return replace(output, restart=_N4_RESTARTS[text.upper()])
    return output if text.upper() == "SAVECONFIG" else None


def _n4_period(output: Output, name: str, period_ms: int) -> Output | None:
    """Each log has its own period: the epochs come as often as all of them need."""
    if not MIN_INTERVAL_MS <= period_ms <= MAX_INTERVAL_MS:
        return None
    periods = {kind: every * output.interval_ms for kind, every in output.every.items() if every}
    periods[name] = period_ms
    interval_ms = max(MIN_INTERVAL_MS, gcd(*periods.values()))
    every = {kind: max(1, round(period / interval_ms)) for kind, period in periods.items()}
    return replace(output.with_sentences(every), interval_ms=interval_ms)


def _said(text: str, verdict: str) -> bytes:
    body = f"$command,{text},response: {verdict}"
    return f"{body}*{reduce(xor, body.encode('ascii')):02X}\r\n".encode("ascii")


def n4_log(body: str) -> bytes:
    """A log of text with its CRC-32 (reflected 0x04C11DB7, from zero, not complemented)."""
    crc = crc32(body.encode("ascii"), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return f"#{body}*{crc:08x}\r\n".encode("ascii")
