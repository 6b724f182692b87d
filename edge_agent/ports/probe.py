"""What stands behind a serial port, judged by what it says: a receiver (NMEA 0183) or an OBD adapter (ELM327). Pure.

`probe` is a generator: it yields what to do next (`Wish`), is sent what was heard (`Heard`) and returns a `Verdict`.
So the door, ports/finder.py, can run one for each port at the same time, and a test can play any device by hand.

The order at a port, and why:

1. Listen at the likeliest speed. A receiver speaks unasked, at least once a second (IEC 61162-1); at a wrong speed its
   bytes arrive as other bytes, but they arrive. So who is silent for `LISTEN_S` is not a receiver, and who is not
   silent is never written to.
2. A silent port that may be asked is asked `ATI` at each speed of adapters. "ATI" identifies the device (ELM327 data
   sheet, "I") and changes nothing in it. No lone carriage return is sent first: it would repeat the adapter's last
   command. What a wrong speed left in the adapter's line buffer comes back as "?", and then it is asked once more.
3. Whoever has not been recognised is listened to at the other speeds of receivers, the silent ones too: some USB
   bridges drop what does not fit the speed.

Two sentences are asked for because one could be a fragment that fits by chance: its checksum has only 8 bits.
"""

import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from edge_agent.gnss.nmea_sentence import SentenceFramer

LISTEN_S = 1.5  # at one speed; receivers send at 1 to 10 Hz
ANSWER_S = 0.6  # an adapter answers ATI within 0.05 s, a slow clone in 0.3 s
LISTENINGS = 3  # at most, until a port is quiet and may be asked: power-up noise and late answers end by themselves
SENTENCES = 2
MAX_HEARD_BYTES = 4096  # kept of an answer
RECEIVER_BAUDS = (9600, 38400, 115200, 4800, 57600, 230400, 460800)
ADAPTER_BAUDS = (38400, 9600, 115200, 57600, 230400, 500000, 19200)
QUESTION = b"ATI\r"
_ADDRESS = re.compile(r"[A-Z]{2}[A-Z0-9]{3}|P[A-Z0-9]{2,}")  # talker and formatter, or proprietary
# How ELM327s, their clones and compatible chips name themselves. The first character of an answer is sometimes lost.
_ADAPTER = re.compile(rb"LM ?32\d|OBD ?II|OBDLINK|STN ?\d{4}", re.IGNORECASE)
_TEXT = re.compile(r"[ -~]{3,}")


class Role(StrEnum):
    """What a device is for."""

    GNSS = "gnss"
    OBD = "obd"


@dataclass(frozen=True, slots=True)
class Pace:
    """How long to wait for whom, in s."""

    listen_s: float = LISTEN_S
    answer_s: float = ANSWER_S


@dataclass(frozen=True, slots=True)
class Plan:
    """What to try at one port. Speeds in bits per second, the likeliest first."""

    listen_at: Sequence[int] = ()  # for a receiver; () where none is looked for
    ask_at: Sequence[int] = ()  # for an adapter; () where none is looked for, or the port may not be asked
    pace: Pace = Pace()


@dataclass(frozen=True, slots=True)
class Wish:
    """Set the speed, write `say`, then report what comes, or nothing once it is `until_s`."""

    baud: int
    until_s: float
    say: bytes = b""


@dataclass(frozen=True, slots=True)
class Heard:
    """What came since the last wish (b"": nothing), and the monotonic time."""

    data: bytes
    mono_s: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which device it is, and its speed; or why nobody was recognised."""

    role: Role | None
    baud: int
    text: str


Probe = Generator[Wish, Heard, Verdict]


def probe(plan: Plan, mono_s: float) -> Probe:
    """Find out who is behind one port; `mono_s` is now. It ends in bounded time, whatever comes."""
    first, *others = plan.listen_at or plan.ask_at[:1]
    bytes_in, answers = 0, list[str]()
    for _ in range(1 if plan.listen_at else LISTENINGS):
        verdict, count, mono_s = yield from _listen(plan, first, mono_s)
        if verdict:
            return verdict
        bytes_in += count
        if not count:
            break
    quiet = not count
    for baud in plan.ask_at if quiet else ():
        verdict, answer, mono_s = yield from _ask(plan, baud, mono_s)
        if verdict:
            return verdict
        answers += [answer] if answer else []
    for baud in others if plan.listen_at else ():
        verdict, count, mono_s = yield from _listen(plan, baud, mono_s)
        if verdict:
            return verdict
        bytes_in += count
    return Verdict(None, 0, _nobody(plan, bytes_in, quiet, answers))


def _listen(plan: Plan, baud: int, mono_s: float) -> Generator[Wish, Heard, tuple[Verdict | None, int, float]]:
    """Who speaks unasked? A verdict, how many bytes came, and the time."""
    framer, sentences, said, count = SentenceFramer(), 0, b"", 0
    ends_s = mono_s + plan.pace.listen_s
    while mono_s < ends_s:
        heard = yield Wish(baud, ends_s)
        mono_s, count = heard.mono_s, count + len(heard.data)
        found = [each for each in framer.feed(heard.data) if _ADDRESS.fullmatch(each.address)]
        if found and not sentences:
            ends_s += plan.pace.listen_s  # the second may come with the next second
        sentences += len(found)
        said = (said + heard.data)[-MAX_HEARD_BYTES:]
        if plan.listen_at and sentences >= SENTENCES:
            return Verdict(Role.GNSS, baud, "speaks NMEA"), count, mono_s
        if plan.ask_at and _names_adapter(said):  # it was just plugged in and introduces itself
            return Verdict(Role.OBD, baud, "names itself"), count, mono_s
    return None, count, mono_s


def _ask(plan: Plan, baud: int, mono_s: float) -> Generator[Wish, Heard, tuple[Verdict | None, str, float]]:
    """What does it say to ATI? A verdict, the readable part of another answer, and the time."""
    said, again = b"", True
    say, ends_s = QUESTION, mono_s + plan.pace.answer_s
    while mono_s < ends_s:
        heard = yield Wish(baud, ends_s, say)
        say, mono_s = b"", heard.mono_s
        said = (said + heard.data)[-MAX_HEARD_BYTES:]
        if _names_adapter(said):
            return Verdict(Role.OBD, baud, "answers ATI"), "", mono_s
        if again and b"?" in said:
            say, ends_s, again = QUESTION, mono_s + plan.pace.answer_s, False
    return None, _readable(said), mono_s


def _names_adapter(said: bytes) -> bool:
    """NUL, 0x7F and bytes above are noise of clones; our own question comes back as an echo and names nobody."""
    return _ADAPTER.search(bytes(byte for byte in said if 0x20 <= byte < 0x7F or byte in b"\r\n")) is not None


def _readable(said: bytes) -> str:
    """The first readable line that is not our question come back."""
    lines = (line.strip() for line in _TEXT.findall(said.decode("latin-1")))
    return next((line[:40] for line in lines if "ATI" not in line.upper() and line.strip("?> ")), "")


def _nobody(plan: Plan, bytes_in: int, quiet: bool, answers: Sequence[str]) -> str:
    """Why nobody was recognised, for a person."""
    if answers:
        return f"answers ATI with {answers[0]!r}: no ELM327"
    asked = f"no answer to ATI at {_speeds(plan.ask_at)}" if plan.ask_at and quiet else ""
    if not plan.listen_at:
        return asked or "speaks unasked, so it was not asked"
    listened = f"{'speaks, but no NMEA' if bytes_in else 'silent'} at {_speeds(plan.listen_at)}"
    not_asked = "so it was not asked" if plan.ask_at and not quiet else ""
    return ", ".join(filter(None, (listened, asked, not_asked)))


def _speeds(bauds: Sequence[int]) -> str:
    return f"{bauds[0]} baud" if len(bauds) == 1 else f"{len(bauds)} speeds"


def pause_s(fruitless: int, jitter: float, longest_s: float) -> float:
    """How long to wait after so many looks in vain: 2 s doubling up to `longest_s`, less up to a quarter.

    `jitter` is from 0 to 1: units that lost power together do not look in step.
    """
    return min(2.0 ** min(max(fruitless, 1), 30), longest_s) * (1 - jitter / 4)
