"""A server key, commands under it, and a few settings: for the tests of the downlink's unit side."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_agent.commands.remote_settings import Sections
from edge_agent.settings import setting
from wire.commands import Command
from wire.seal import seal_command

UNIT, NOW_MS, HOUR_MS = "PW000042", 1_795_000_000_000, 3_600_000
KEY, OTHER_KEY = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
KEYS = (KEY.public_key(),)
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Sealing:
    """As unit.toml's [batch] might be."""

    samples: int = setting("sealed at so many", 60, low=1, high=600, remote=True)
    after_s: float = setting("or after so long", 60.0, low=1, high=600, remote=True)
    profile: str = setting("what is kept", "full", choices=("full", "thin"), remote=True)
    measured: bool = setting("whether it is measured", default=True, remote=True)
    path: str = setting("a text that could be anything", "", remote=True)
    loose_s: float = setting("a number without an upper bound", 1.0, low=0, remote=True)
    local: int = setting("only the installer's", 1, low=1, high=9)


@dataclass(frozen=True, slots=True)
class Port:
    """A section that cannot be without a value of its own."""

    port: str = setting("where it is")
    rate_hz: int = setting("how often", 1, low=1, high=10, remote=True)


SECTIONS: Sections = {"sealing": Sealing, "port": Port}


def command(
    kind: str = "locate",
    parameters: Mapping[str, str] | None = None,
    *,
    command_id: bytes | None = None,
    issued_ms: int = NOW_MS,
    life_ms: int = HOUR_MS,
    unit: str = UNIT,
) -> Command:
    made = next(_numbers).to_bytes(16, "big") if command_id is None else command_id
    return Command(unit, made, issued_ms, issued_ms + life_ms, kind, dict(parameters or {}))


def sealed(made: Command, key: Ed25519PrivateKey = KEY) -> bytes:
    return seal_command(key, made)
