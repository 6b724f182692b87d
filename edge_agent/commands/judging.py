"""What the server asks, judged: sealed bytes in, a judgement out. Pure.

    bytes → signature, unit (wire/seal.py) → known already? → time → kind → parameters → Accepted with an Action

Nothing here, nor what it imports, can reach the car: an `Action` makes the unit look, tell or keep a setting. Every
`Action` is carried out by the agent, and none has a field that could hold bytes for a port.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from edge_agent.commands.remote_settings import Sections, Value, remote_value
from edge_agent.settings import ConfigError
from wire.commands import COMMANDS, MAX_LIFE_MS, Command, Outcome, Refusal, checked_parameters
from wire.refused import RefusedError
from wire.seal import open_command


@dataclass(frozen=True, slots=True)
class Locate:
    """Take a fix and send it now."""


@dataclass(frozen=True, slots=True)
class Follow:
    """Take a fix and send it every `every_s` seconds until `until_mono_s`; a newer Follow replaces it."""

    every_s: int
    until_mono_s: float


@dataclass(frozen=True, slots=True)
class CancelFollow:
    """End the Follow that is running, if one is."""


@dataclass(frozen=True, slots=True)
class Recall:
    """Send again, at full rate, what is still here of [from_ms, to_ms], UTC ms."""

    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class SendStatus:
    """Send the unit's own status now."""


@dataclass(frozen=True, slots=True)
class ChangeSetting:
    """Keep `text` for this setting (`commands/overrides.py`) and work with `value` from now on."""

    section: str
    name: str
    text: str
    value: Value


Action = Locate | Follow | CancelFollow | Recall | SendStatus | ChangeSetting


def _follow(parameters: Mapping[str, str], mono_s: float, _sections: Sections) -> Action:
    return Follow(int(parameters["every_s"]), mono_s + 60.0 * int(parameters["minutes"]))


def _recall(parameters: Mapping[str, str], _mono_s: float, _sections: Sections) -> Action:
    return Recall(int(parameters["from_ms"]), int(parameters["to_ms"]))


def _set(parameters: Mapping[str, str], _mono_s: float, sections: Sections) -> Action:
    section, name, text = parameters["section"], parameters["name"], parameters["value"]
    return ChangeSetting(section, name, text, remote_value(sections, section, name, text))


# Kind → what it makes the unit do, from parameters that wire/commands.py has checked. ConfigError: it may not.
ACTIONS: Mapping[str, Callable[[Mapping[str, str], float, Sections], Action]] = {
    "locate": lambda *_: Locate(),
    "follow": _follow,
    "cancel_follow": lambda *_: CancelFollow(),
    "recall": _recall,
    "status": lambda *_: SendStatus(),
    "set": _set,
}


@dataclass(frozen=True, slots=True)
class Remembered:
    """A command that came before. `outcome` None: it was begun and has not ended yet."""

    kind: str
    expires_ms: int
    outcome: Outcome | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the unit remembers: at most `most` commands. What was issued up to `not_before_ms` it may have forgotten."""

    commands: Mapping[bytes, Remembered]
    not_before_ms: int
    most: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """To be remembered, then carried out, then answered."""

    command: Command
    action: Action


@dataclass(frozen=True, slots=True)
class Unbelieved:
    """Not from our server, or not for this unit: counted by its reason and never answered."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """From our server, and not carried out: answered with the reason."""

    command: Command
    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class Repeated:
    """Carried out or refused before: answered with the first outcome."""

    command: Command
    first: Remembered


@dataclass(frozen=True, slots=True)
class Held:
    """Good as far as can be told, but whether it has expired cannot be told yet: to be judged again."""


Judgement = Accepted | Unbelieved | Refused | Repeated | Held


def judge(
    sealed: bytes,
    unit: str,
    keys: Iterable[Ed25519PublicKey],
    seen: Seen,
    sections: Sections,
    mono_s: float,
    server_now_ms: int | None,
) -> Judgement:
    """Judge one command.

    Args:
        sealed: the payload as it came.
        unit: this unit's name.
        keys: the pinned server keys.
        seen: the commands that this unit remembers.
        sections: the sections of unit.toml, for `set`.
        mono_s: now, the unit's monotonic clock.
        server_now_ms: now by the server's clock (`TimeBounds.server_now_ms`), None while nothing was told in this run.
    """
    try:
        command = open_command(sealed, unit, keys)
    except RefusedError as error:
        return Unbelieved(str(error.reason))
    known = seen.commands.get(command.id)
    if known is not None:
        return Repeated(command, known)
    if not 0 < command.expires_ms - command.issued_ms <= MAX_LIFE_MS:
        return Refused(command, Outcome.REFUSED, Refusal.TOO_LONG_LIVED)
    if server_now_ms is None:
        return Held()
    if server_now_ms >= command.expires_ms:
        return Refused(command, Outcome.REFUSED, Refusal.EXPIRED)
    if command.issued_ms <= seen.not_before_ms:
        return Refused(command, Outcome.REFUSED, Refusal.FORGOTTEN)
    if len(seen.commands) >= seen.most:
        return Refused(command, Outcome.REFUSED, Refusal.TOO_MANY)
    if command.kind not in ACTIONS or command.kind not in COMMANDS:
        return Refused(command, Outcome.NOT_UNDERSTOOD, "")
    try:
        action = ACTIONS[command.kind](checked_parameters(command.kind, command.parameters), mono_s, sections)
    except (ConfigError, ValueError) as error:
        return Refused(command, Outcome.REFUSED, f"{Refusal.PARAMETERS}: {error}")
    return Accepted(command, action)


def answer(command_id: bytes, kind: str, outcome: Outcome, reason: str, *, repeated: bool = False) -> dict[str, str]:
    """The details of the `command_answer` event."""
    details = {"id": command_id.hex(), "kind": kind, "outcome": str(outcome), "reason": reason[:_LONGEST_REASON]}
    return {**details, "repeated": "yes"} if repeated else details


_LONGEST_REASON = 300
