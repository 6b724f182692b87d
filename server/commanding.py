"""Orders to units: what may be asked, when it is sent again, and what its state is. Pure.

A person gives an order for a stated reason; the ingest signs it and sends it until the unit has answered or it has
expired. What a kind needs is said once, in `wire/commands.py`; the unit checks all of it again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from wire.commands import COMMAND_ID_BYTES, COMMANDS, MAX_LIFE_MS, checked_parameters
from wire.records import Event

DEFAULT_LIFE_MS = 24 * 3600 * 1000
SHORTEST_LIFE_MS = 60 * 1000
MOST_OPEN = 20  # unanswered orders of one unit at a time
ANSWER_KIND = "command_answer"
SHORTEST_REASON, LONGEST_REASON = 4, 300
_FIRST_REST_MS = 30 * 1000
_LONGEST_REST_MS = 6 * 3600 * 1000


class Flaw(StrEnum):
    """What is wrong with an order, for pages to say it in the reader's language."""

    KIND = "kind"
    PARAMETERS = "parameters"
    REASON = "reason"
    LIFE = "life"
    UNIT = "unit"
    TOO_MANY_OPEN = "too_many_open"


class OrderRefusedError(ValueError):
    """An order that is not given; the text says what to mend.

    Attributes:
        flaw: the same in one word.
    """

    def __init__(self, flaw: Flaw, text: str) -> None:
        super().__init__(text)
        self.flaw = flaw


@dataclass(frozen=True, slots=True)
class Order:
    """A kind with its parameters, why it is given, and for how long it is good (ms)."""

    kind: str
    parameters: Mapping[str, str]
    reason: str
    life_ms: int


class State(StrEnum):
    """Where a command stands."""

    WAITING = "waiting"  # not sent yet
    SENT = "sent"  # at least once, no answer yet
    ANSWERED = "answered"  # with an outcome
    EXPIRED = "expired"  # nobody answered in time; an answer that comes later still counts


@dataclass(frozen=True, slots=True)
class Told:
    """A unit's answer: the id of the command, its outcome and the reason for it."""

    command_id: bytes
    outcome: str
    reason: str


def checked_order(kind: str, parameters: Mapping[str, str], reason: str, life_ms: int = DEFAULT_LIFE_MS) -> Order:
    """An order that may be given.

    Raises:
        OrderRefusedError: an unknown kind, a parameter or life out of bounds, or no reason where a place is asked for.
    """
    if kind not in COMMANDS:
        raise OrderRefusedError(Flaw.KIND, f"no command is called {kind!r}; there are {', '.join(COMMANDS)}")
    try:
        values = checked_parameters(kind, parameters)
    except ValueError as error:
        raise OrderRefusedError(Flaw.PARAMETERS, str(error)) from None
    reason = " ".join(reason.split())
    if COMMANDS[kind].tells_place and len(reason) < SHORTEST_REASON:
        raise OrderRefusedError(
            Flaw.REASON, f"{kind} tells where a person is: it needs a reason of at least {SHORTEST_REASON} characters"
        )
    if len(reason) > LONGEST_REASON:
        raise OrderRefusedError(Flaw.REASON, f"a reason has at most {LONGEST_REASON} characters")
    if not SHORTEST_LIFE_MS <= life_ms <= MAX_LIFE_MS:
        raise OrderRefusedError(Flaw.LIFE, f"a command is good for one minute to {MAX_LIFE_MS // 86_400_000} days")
    return Order(kind, values, reason, life_ms)


def next_send_ms(sends: int, now_ms: int, expires_ms: int) -> int | None:
    """When a command that has been sent `sends` times is sent again: after 30 s, 1, 2, 4 … minutes, 6 h; None: never.

    The broker keeps what it took for a unit that is away, so this is only for what the broker lost.
    """
    at_ms = now_ms + min(_LONGEST_REST_MS, _FIRST_REST_MS << min(sends - 1, 20))
    return at_ms if at_ms < expires_ms else None


def resend_ms(now_ms: int) -> int:
    """After a lost connection: what was last sent before this instant is sent again at once."""
    return now_ms - _FIRST_REST_MS


def state_of(outcome: str | None, sends: int, expires_ms: int, now_ms: int) -> State:
    """Where a command stands now."""
    if outcome is not None:
        return State.ANSWERED
    if now_ms >= expires_ms:
        return State.EXPIRED
    return State.SENT if sends else State.WAITING


def answers_in(events: Iterable[Event]) -> list[Told]:
    """The answers among a batch's events, in order; what is out of shape is left to the list of events."""
    found = []
    for event in events:
        if event.kind != ANSWER_KIND:
            continue
        try:
            command_id = bytes.fromhex(event.details.get("id", ""))
        except ValueError:
            continue
        outcome = event.details.get("outcome", "")
        if len(command_id) == COMMAND_ID_BYTES and outcome:
            found.append(Told(command_id, outcome[:40], event.details.get("reason", "")[:LONGEST_REASON]))
    return found
