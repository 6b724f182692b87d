"""The benchmark's course: what is started, when it is looked at, and what comes of it. `benchmarks.edge` says why."""

import contextlib
import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.edge_parts import costs, figures, processes
from benchmarks.edge_parts.card import Blocks, Card
from benchmarks.edge_parts.drive import Piece, cut
from benchmarks.edge_parts.figures import Arrived, Parked
from benchmarks.edge_parts.scene import Peer, Scene, SceneError, Unit
from benchmarks.edge_parts.stand import ASLEEP, IDLING, Standing, wait
from benchmarks.edge_parts.watching import EventRows, NewestDurable, Repeated, Wires
from edge_agent.config import BrokerConfig
from edge_agent.sampling import SamplingSettings
from edge_agent.service.status_socket import NoAgentError, ask_agent

ROOT = Path(__file__).parents[2]
DRIVING, STANDING, PARKED = "PW000001", "PW000002", "PW000003"
LONGEST_PLAY_BEYOND_S = 180.0  # the drive is played from before the window to after it

_SETTLE_S = 40.0  # after the first sample: connection and first batches are over
_WARM_S = 10.0  # the standing unit's first connection
_EVENTS = 300
_CYCLE_S = 60
_REAL_KEEPALIVE_S = BrokerConfig(host="").keepalive_s
_CYCLES = 2
_QUICKLY_PARKED: dict[str, dict[str, object]] = {
    "sampling": {"heartbeat_s": _CYCLE_S},
    "broker": {"keepalive_s": max(5, _CYCLE_S * _REAL_KEEPALIVE_S // SamplingSettings().heartbeat_s)},
    "batch": {"after_s": 30.0},
    "power": {"parked_after_s": 30.0, "standing_after_s": 10.0},
    "engine": {"silent_off_after_s": 5.0, "off_after_s": 5.0},
}
_AFTER_PARKED_S = 100.0  # the minute after an event, then the last batch's 30 s
_RECONNECT_S = 20.0
_BATCH_DONE_S = 2.0  # after a batch arrived: its receipt has come and all is acknowledged
_BEGAN_S = time.monotonic()


def say(text: str) -> None:
    """Progress, on stderr."""
    print(f"[{time.monotonic() - _BEGAN_S:5.0f} s] {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class Standby:
    """A unit whose car the benchmark plays itself."""

    unit: Unit
    car: Standing


@dataclass(frozen=True, slots=True)
class Look:
    """What the driving unit, its card and the peer had cost at one instant."""

    unit: costs.Cost
    card_bytes: int
    peer_s: dict[str, float]


def measure(made: Scene, recording: bytes, minutes: float, why_no_wire: str | None) -> dict[str, Any]:
    """All figures but the verdict.

    Raises:
        SceneError: something did not start or did not do what it is there for.
    """
    memory = _import_costs(made.model)  # before anything else shares its libraries
    piece = cut(recording, minutes * 60 + LONGEST_PLAY_BEYOND_S)
    say(f"drive: {piece.length_s:.0f} s, {piece.km:.1f} km, {piece.stopped_share:.0%} stopped")
    card = made.card(DRIVING)
    driving = _start_driving(made, piece)
    parked = _start_played(made, PARKED, _QUICKLY_PARKED, IDLING)
    rows = EventRows(made.world.settings.data_dir / "pledgewatch.db")
    standing = _start_played(made, STANDING, {}, Standing.troubled_car(), troubled=True)
    peer = made.peer(piece)
    say("peer runs" if isinstance(peer, Peer) else peer)
    wires = _wires([driving, parked.unit, standing.unit], peer)

    time.sleep(max(_SETTLE_S - (time.monotonic() - driving.first_sample_s), 5.0))
    durable, blocks = NewestDurable(driving.folder / "outbox.db"), Blocks(driving.folder)
    looking = Repeated(blocks.look, 1.0)
    begin = _look(driving, card, peer)
    say(f"measuring {minutes:g} minutes of driving; the parked unit's engine stops")
    parked.car.car, off_s = ASLEEP, time.monotonic()
    _let_pass(minutes * 60, made, standing, rows)
    end = _look(driving, card, peer)
    looking.stop()
    durable.stop()
    rows.stop()
    unit_mib = costs.memory_mib(processes.tree(driving.pid), driving.pid)
    kernels_mib = sum(processes.pss_mib(each) for each in processes.tree(driving.pid))
    peer_mib = _peer_mib(peer)
    say("driving measured")
    parked_wire = None if why_no_wire else _parked_wire(made, parked.unit, wires, off_s)
    parked.car.stop()
    wires.stop()

    lasted_s, percent = end.unit.at_s - begin.unit.at_s, costs.cpu_percent(begin.unit, end.unit)
    driven = _driven(made, driving, wires, begin.unit.at_s, end.unit.at_s)
    startups_s = [each.startup_s for each in (driving, parked.unit, standing.unit)]
    noted = driving.notes()[-1]
    return {
        "minutes": minutes,
        "stopped_share": round(piece.stopped_share, 3),
        "events_while_driving": _events(made, driving, begin.unit.at_s, end.unit.at_s),
        "model_bytes": made.model.stat().st_size,
        "judged_us": noted["judged_us"],
        "pss_mib": round(unit_mib["all"], 1),
        "pss_mib_by_process": {name: round(mib, 1) for name, mib in unit_mib.items() if name != "all"},
        "pss_mib_by_kernel_beside_others": round(kernels_mib, 1),
        "memory_mib_by_import": memory,
        "cpu_percent": round(sum(percent.values()), 3),
        "cpu_percent_by_process": {name: round(each, 3) for name, each in percent.items()},
        "cpu_percent_by_thread": costs.thread_percent(begin.unit, end.unit, noted["threads"]),
        **_peer_figures(peer, wires, begin, end, peer_mib, sum(percent.values())),
        **driven,
        **figures.latencies(standing.car.written, rows.seen, standing.unit.first_sample_s + _WARM_S),
        "max_unsealed_s": round(max(durable.ages_s), 2) if durable.ages_s else None,
        **_disk(card, end.card_bytes - begin.card_bytes, blocks.written_bytes, lasted_s),
        "startup_to_first_sample_s": round(statistics.median(startups_s), 2),
        "startups_s": [round(each, 2) for each in startups_s],
        **(
            {"wire_kb_per_day": None, "no_interface": why_no_wire}
            if parked_wire is None
            else figures.whole_day(PARKED, driven, parked_wire)
        ),
    }


def _import_costs(model: Path) -> dict[str, dict[str, float]]:
    found = {}
    for program, more in (("agent", [str(model)]), ("worker", [])):
        command = [sys.executable, "-m", "benchmarks.edge_parts.memory", program, *more]
        found[program] = json.loads(subprocess.run(command, check=True, capture_output=True, cwd=ROOT).stdout)
    return found


def _start_driving(made: Scene, piece: Piece) -> Unit:
    say("driving unit")
    folder = made.add(DRIVING, {})
    made.play("drive", piece, folder, obd=True)
    return made.start(DRIVING)


def _start_played(
    made: Scene, name: str, settings: dict[str, dict[str, object]], car: Any, *, troubled: bool = False
) -> Standby:
    say("standing unit" if troubled else "parked unit")
    folder = made.add(name, settings)
    its_car = Standing(folder / "gnss", folder / "obd", car, troubled)
    return Standby(made.start(name, tells=troubled, hasty=troubled), its_car)


def _wires(units: list[Unit], peer: Peer | str) -> Wires:
    counters = {each.name: each.room.counted for each in units if each.room}
    if isinstance(peer, Peer) and peer.room:
        counters["peer"] = peer.room.counted
    return Wires(counters)


def _look(unit: Unit, card: Card | str, peer: Peer | str) -> Look:
    written = 0 if isinstance(card, str) else card.written_bytes()
    spent = {} if isinstance(peer, str) else {name: processes.tree_cpu_s(pid) for name, pid in peer.pids.items()}
    return Look(costs.look(unit.pid, time.monotonic()), written, spent)


def _let_pass(seconds: float, made: Scene, standing: Standby, rows: EventRows) -> None:
    """The window; the standing unit leaves as soon as enough of its events were seen."""
    end_s = time.monotonic() + seconds
    stands = True
    while stands or time.monotonic() < end_s:
        time.sleep(min(1.0, max(0.0, end_s - time.monotonic())))
        if stands and (len(rows.seen) > _EVENTS or time.monotonic() >= end_s):
            stands = False
            standing.car.stop()
            made.world.stop(f"agent {STANDING}")
            say(f"{len(rows.seen)} events seen")


def _parked_wire(made: Scene, unit: Unit, wires: Wires, off_s: float) -> Parked:
    """Bytes of an arrival, of whole parked cycles, and of one lost connection."""

    def is_parked() -> bool:
        with contextlib.suppress(NoAgentError):
            return str(ask_agent(unit.folder).get("power.state")) == "parked"
        return False

    if not wait(is_parked, 120.0):
        raise SceneError(f"{unit.name} never parked: {made.world.log(f'agent {unit.name}')[-1000:]}")
    query = "select max(arrived_ms) from events where kind = 'power_state'"
    settled_s = _mono_s(made.world.rows(query)[0][0]) + _AFTER_PARKED_S

    def cycles() -> list[Arrived]:
        return [each for each in _arrived(made, unit) if each.at_s >= settled_s][: _CYCLES + 1]

    say("counting parked cycles")
    longest_s = max(0.0, settled_s - time.monotonic()) + (_CYCLES + 2) * _CYCLE_S
    if not wait(lambda: len(cycles()) > _CYCLES, longest_s):
        raise SceneError(f"{unit.name} sent {len(cycles())} heartbeats in {longest_s:.0f} s")
    time.sleep(_BATCH_DONE_S + 1)
    counted = cycles()
    first_s, last_s = counted[0].at_s + _BATCH_DONE_S, counted[-1].at_s + _BATCH_DONE_S
    say("losing the connection once")
    lost_s = time.monotonic()
    time.sleep(1.0)
    made.lose_connections()
    time.sleep(_RECONNECT_S)
    return Parked(
        counted[1:],
        cycles=wires.between(unit.name, first_s, last_s),
        arrival=wires.between(unit.name, off_s, min(settled_s, first_s)),
        connect=wires.between(unit.name, lost_s, time.monotonic()),
    )


def _driven(made: Scene, unit: Unit, wires: Wires, begin_s: float, end_s: float) -> dict[str, Any]:
    """Of the batches that arrived in the window but the first, whose receipt begins the counting."""
    found = [each for each in _arrived(made, unit) if begin_s <= each.at_s <= end_s - _BATCH_DONE_S]
    counted = None
    if unit.room and len(found) > 1:
        counted = wires.between(unit.name, found[0].at_s + _BATCH_DONE_S, found[-1].at_s + _BATCH_DONE_S)
    return figures.driven(unit.name, found[1:], counted)


def _arrived(made: Scene, unit: Unit) -> list[Arrived]:
    rows = made.world.rows(
        "select arrived_ms, samples, sealed from batches "
        f"where unit_id = (select id from units where name = '{unit.name}') order by arrived_ms"
    )
    return [Arrived(_mono_s(at_ms), samples, sealed) for at_ms, samples, sealed in rows]


def _events(made: Scene, unit: Unit, begin_s: float, end_s: float) -> list[str]:
    rows = made.world.rows(
        f"select arrived_ms, kind from events where unit_id = (select id from units where name = '{unit.name}')"
    )
    return [kind for at_ms, kind in rows if begin_s <= _mono_s(at_ms) <= end_s]


def _mono_s(utc_ms: float) -> float:
    return utc_ms / 1000 - time.time() + time.monotonic()


def _disk(card: Card | str, card_bytes: int, changed_bytes: int, lasted_s: float) -> dict[str, Any]:
    """The device's figure where the unit had one of its own, else the least that a card must write."""
    changed, on_card = (round(each / 1e6 * 3600 / lasted_s, 2) for each in (changed_bytes, card_bytes))
    if isinstance(card, str):
        return {"disk_mb_per_driving_hour": changed, "disk_counted": "changed 4 KiB blocks", "disk_reason": card}
    return {
        "disk_mb_per_driving_hour": on_card,
        "disk_counted": "sectors written to an ext4 of its own (noatime, commit=60), its journal included",
        "disk_mb_per_driving_hour_changed_blocks": changed,
    }


def _peer_mib(peer: Peer | str) -> dict[str, float]:
    if isinstance(peer, str):
        return {}
    texts = {name: processes.smaps_of(pid) for name, pid in peer.pids.items()}
    each = {name: processes.alone_mib([text]) for name, text in texts.items()}
    return {"all": processes.alone_mib(texts.values()), **each}


def _peer_figures(
    peer: Peer | str, wires: Wires, begin: Look, end: Look, held: dict[str, float], ours: float
) -> dict[str, Any]:
    if isinstance(peer, str):
        return {"cpu_ratio_vs_peer": None, "peer_pss_mib": None, "peer_wire_bytes_per_fix": None, "peer_reason": peer}
    begin_s, end_s = begin.unit.at_s, end.unit.at_s
    percent = {name: 100 * (spent - begin.peer_s[name]) / (end_s - begin_s) for name, spent in end.peer_s.items()}
    counted = wires.between("peer", begin_s, end_s) if peer.room else None
    return figures.peer(percent, ours, held, peer.fixes_between(begin_s, end_s), counted)
