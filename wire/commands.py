"""What the server may ask of a unit: one table, read by both sides. Pure.

No kind of this table acts on the car: a command can make a unit look, tell, or keep another setting, and nothing else.
The server checks an order against the table before it is signed; the unit checks it again, since it alone answers for
what happens in the car. docs/asyncapi.yaml is checked against this file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

COMMAND_ID_BYTES = 16
MAX_LIFE_MS = 7 * 24 * 3600 * 1000
MOST_PARAMETERS = 8
LONGEST_TEXT = 200  # characters of a parameter, of its name and of a kind


@dataclass(frozen=True, slots=True)
class Command:
    """One order to one unit, named for ever by `id` (16 bytes). Times are the server's, UTC ms."""

    unit: str
    id: bytes
    issued_ms: int
    expires_ms: int
    kind: str
    parameters: Mapping[str, str] = field(default_factory=dict)


class Outcome(StrEnum):
    """What became of a command, as its `command_answer` event tells."""

    DONE = "done"  # carried out; a `follow` has begun
    REFUSED = "refused"  # not carried out; the reason says why
    NOT_UNDERSTOOD = "not_understood"  # a kind that this unit's software does not know
    FAILED = "failed"  # tried, and the unit could not
    INTERRUPTED = "interrupted"  # the unit lost power in between: carried out once or not at all


class Refusal(StrEnum):
    """Why a unit refuses a command whose signature held; `command_answer` tells it as its reason."""

    EXPIRED = "expired"
    TOO_LONG_LIVED = "too_long_lived"  # lives longer than MAX_LIFE_MS, or ends before it begins
    PARAMETERS = "parameters"  # missing, unknown or out of bounds; the text after it says which
    TOO_MANY = "too_many"  # the unit remembers as many commands as it can
    FORGOTTEN = "forgotten"  # issued before the unit lost its memory of commands: it may have been carried out


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. With bounds it is a whole number, both ends included; without, a text."""

    name: str
    about: str
    low: int | None = None
    high: int | None = None
    default: str | None = None  # None: must be given


@dataclass(frozen=True, slots=True)
class CommandKind:
    """A row of the table. `tells_place`: the answer shows where a person is, so the order needs a stated reason."""

    about: str
    parameters: tuple[Parameter, ...] = ()
    tells_place: bool = False


MOST_RECALLED_MS = 15 * 60 * 1000  # at 1 Hz 900 samples, some 14 KB
_LAST_MS = 2**53  # beyond what any reader of JSON can hold; the window is what bounds a recall

COMMANDS: Mapping[str, CommandKind] = {
    "locate": CommandKind("take a fix and send it now", tells_place=True),
    "follow": CommandKind(
        "take a fix and send it every few seconds, for some minutes",
        (
            Parameter("minutes", "for how long", 1, 60),
            Parameter("every_s", "seconds between two fixes", 1, 10, "10"),
        ),
        tells_place=True,
    ),
    "cancel_follow": CommandKind("end a follow before its time"),
    "recall": CommandKind(
        "send again, at full rate, what the unit still has of a window of at most 15 minutes",
        (
            Parameter("from_ms", "begin of the window, UTC ms", 0, _LAST_MS),
            Parameter("to_ms", "end of the window, UTC ms", 0, _LAST_MS),
        ),
        tells_place=True,
    ),
    "status": CommandKind("send the unit's own status now"),
    "set": CommandKind(
        "change a setting that may be changed from afar, within its bounds, now and for good",
        (
            Parameter("section", "section of unit.toml"),
            Parameter("name", "name of the setting"),
            Parameter("value", "its new value, as it would be written in unit.toml, texts without quotes"),
        ),
    ),
}


def checked_parameters(kind: str, given: Mapping[str, str]) -> dict[str, str]:
    """The parameters of a known kind with defaults filled in, whole numbers in their plain form.

    Raises:
        KeyError: the kind is not in the table.
        ValueError: one is missing, unknown or out of bounds; the text says which.
    """
    known = {each.name: each for each in COMMANDS[kind].parameters}
    for name in given:
        if name not in known:
            raise ValueError(f"{kind} has no parameter {name!r}")
    values = {name: _checked(each, given.get(name, each.default)) for name, each in known.items()}
    if kind == "recall" and not 0 < int(values["to_ms"]) - int(values["from_ms"]) <= MOST_RECALLED_MS:
        raise ValueError(f"to_ms must be after from_ms, by at most {MOST_RECALLED_MS}")
    return values


def _checked(parameter: Parameter, value: str | None) -> str:
    if value is None:
        raise ValueError(f"{parameter.name} is missing")
    if parameter.low is None or parameter.high is None:
        if not value or len(value) > LONGEST_TEXT:
            raise ValueError(f"{parameter.name} must be a text of 1 to {LONGEST_TEXT} characters")
        return value
    # int() would take signs, spaces, underscores and digits of other scripts as well
    if not (value.isascii() and value.isdigit() and len(value) <= 16):
        raise ValueError(f"{parameter.name} must be a whole number, not {value[:40]!r}")
    if not parameter.low <= int(value) <= parameter.high:
        raise ValueError(f"{parameter.name} is {int(value)}; it must be from {parameter.low} to {parameter.high}")
    return str(int(value))
