"""Recorded sessions of real adapters, replayed to the worker: what it makes of each is written in elm_quirks.toml.

The recordings are no part of the project (`--data`); the quirks that they show are played without them, from made-up
replies, in test_obd_virtual.py. Replay is in virtual time (tests/fuzz/virtual_elm.py): eighteen sessions on a real port
would take minutes of waiting for prompts that never came.
"""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.edge_agent.car.test_obd_link_virtual import Played, play

CASES: list[dict[str, Any]] = tomllib.loads(Path(__file__).with_name("elm_quirks.toml").read_text("utf-8"))["session"]
FILL = ("ATZ", "ATI", "ATE0", "ATH1", "ATL0", "ATSP0", "ATTP5", "ATTP6", "ATDPN", "ATPC")  # where nothing was recorded
OFFERED = {"0100": "7E8 06 41 00 FF FF FF FF \r\r>", "0120": "7E8 06 41 20 00 00 00 01 \r\r>"}
OFFERED |= {"0140": "7E8 06 41 40 40 00 00 00 \r\r>"}


def replies_of(session: dict[str, Any]) -> dict[str, list[str]]:
    """Commands as the worker types them: without spaces, and without the digit that counts frames."""
    replies: dict[str, list[str]] = {}
    for exchange in session["exchanges"]:
        command = exchange["tx"].replace(" ", "").upper()
        command = command[:-1] if len(command) == 5 and command.startswith("01") else command
        reply = exchange["rx"] if session["rx_has_control_chars"] else exchange["rx"].replace("\n", "\r")
        replies.setdefault(command, []).append(reply)
    return replies


def replayed(session: dict[str, Any], protocol: str) -> Played:
    recorded = replies_of(session)
    filled: dict[str, Any] = dict.fromkeys(FILL, "OK\r\r>")
    unknown = dict.fromkeys(("ATRV", "0101", "0104", "0105", "010C", "010D", "0142", "03"), "NO DATA\r\r>")
    unknown |= {"07": "NO DATA\r\r>", "0A": "NO DATA\r\r>", "0902": "NO DATA\r\r>"}
    offered = {} if "0100" in recorded else OFFERED
    return play(60, {**unknown, **filled, **offered, **recorded}, protocol=protocol or None)


def outcome(played: Played) -> dict[str, Any]:
    hellos = played.hellos()
    last = {line["name"]: line["value"] for _, line in played.lines if "name" in line}
    return {
        "protocol": hellos[0]["protocol"] if hellos else None,
        "car": hellos[0]["car"] if hellos else None,
        "offers": len(hellos[0]["supported"]) if hellos else 0,
        "values": last,
    }


@pytest.fixture(scope="module")
def sessions(telemetry: Path) -> list[dict[str, Any]]:
    lines = (telemetry / "elm327_transcripts" / "sessions.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_every_recorded_session_has_a_case(sessions: list[dict[str, Any]]) -> None:
    assert [case["source"] for case in CASES] == [session["source"] for session in sessions]


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case["source"].split("/", 1)[-1] for case in CASES])
def test_what_the_worker_makes_of_it(sessions: list[dict[str, Any]], number: int) -> None:
    case = CASES[number]
    played = replayed(sessions[number], case["typed_protocol"])
    assert outcome(played) == case["outcome"]
    assert played.ended is None  # the connection holds in every case
    assert played.longest_quiet_s() < 8.0  # and is never killed
