"""A short, seeded soak: the real agents, broker and server, and about forty faults."""

from pathlib import Path

from tests.soak.faults import Kind
from tests.soak.report import as_json
from tests.soak.soak import Soak, Wanted, stderr

SEED, FAULTS, PACE_S = 29, 40, 0.8  # a schedule with kills, damage, a full disk, and broker and server going down


def test_forty_faults_lose_nothing_and_leave_no_agent_stuck(tmp_path: Path) -> None:
    soak = Soak(tmp_path / "soak", Wanted(SEED, FAULTS, PACE_S, rest_every=20, obd_at_end=False), stderr)
    try:
        outcome = soak.run()
        figures = as_json(soak)
    finally:
        soak.close()
    assert not outcome.failures, f"seed {SEED}, step {outcome.last_step}"
    assert figures["faults"] == FAULTS
    assert figures["undeclared"] == figures["lost"] == figures["twice"] == figures["stuck"] == 0
    # The soak itself has worked: faults were drawn from all sides, and there was something to lose.
    must = {Kind.AGENT_KILLED, Kind.FILE_DAMAGED, Kind.DISK_FULL, Kind.BROKER_KILLED, Kind.SERVER_KILLED}
    assert must <= set(outcome.done)
    assert figures["stored_samples"] > 100
    assert figures["stored_samples_with_obd"] > 0
    assert figures["sigterm_max_s"] < 10
