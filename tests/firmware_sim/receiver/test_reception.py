"""What the receiver hears: starts, jamming, tunnels, streets, spoofing. All as its sentences tell it."""

import itertools
import math
import statistics

import pytest

from firmware_sim.receiver.settings import NO_FAULTS, ReceiverFaults
from tests.firmware_sim.receiver.listening import between, listen, receiver, straight_on


def first_fix_s(start: str, seed: int) -> float:
    return next(second.motion.t_s for second in listen(receiver(seed, start=start), straight_on(60)) if second.has_fix)


@pytest.mark.parametrize(
    ("start", "from_s", "to_s"), [("running", 0, 0), ("hot", 1, 3), ("warm", 19, 40), ("cold", 22, 50)]
)
def test_time_to_first_fix(start: str, from_s: float, to_s: float) -> None:
    """Hot 1 s, cold 26 to 29 s: data sheet of the u-blox NEO-M8; warm: the ephemerides' 18 to 36 s."""
    assert all(from_s <= first_fix_s(start, seed) <= to_s for seed in range(8))


def test_a_cold_receiver_knows_nothing_and_then_the_time_first() -> None:
    seconds = listen(receiver(start="cold", sentences=("RMC", "GGA", "GSV")), straight_on(60))
    first = seconds[0]
    assert first.raw[0] == b"$GNRMC,,V,,,,,,,,,,N,V*37\r\n"
    assert first.cn0_dbhz == {}
    with_time = next(s.motion.t_s for s in seconds if s.one("RMC").time)
    with_fix = next(s.motion.t_s for s in seconds if s.has_fix)
    assert 6 <= with_time < with_fix
    assert any(b",05,," in line or b",,," in line for line in seconds[12].raw if line[3:6] == b"GSV")


def test_an_open_sky() -> None:
    for second in listen(receiver(), straight_on(120, speed_mps=15)):
        heard = [level for level in second.cn0_dbhz.values() if level is not None]
        assert len(heard) >= 25
        assert 25 <= min(heard) <= max(heard) <= 54
        assert statistics.stdev(heard) > 3
        assert 0.4 < second.one("GGA").HDOP < 1.2
        gsa = second.all_of("GSA")[0]
        assert abs(gsa.PDOP - math.hypot(gsa.HDOP, gsa.VDOP)) < 0.02


def test_high_satellites_are_louder() -> None:
    (second,) = listen(receiver(), straight_on(1))
    elevations = {
        ("GP" if gsv.talker == "GP" else "GB", getattr(gsv, f"svid_0{i}")): getattr(gsv, f"elv_0{i}")
        for gsv in second.all_of("GSV")
        for i in range(1, 5)
        if hasattr(gsv, f"svid_0{i}")
    }
    cn0 = second.cn0_dbhz
    low = [level for key, level in cn0.items() if level is not None and elevations[key] < 20]
    high = [level for key, level in cn0.items() if level is not None and elevations[key] > 55]
    assert statistics.mean(high) - statistics.mean(low) > 6


def test_a_jammer_drowns_all_at_once_and_a_weak_one_some() -> None:
    def faults(t_s: float) -> ReceiverFaults:
        return ReceiverFaults(jammed=0.35 if 20 <= t_s < 40 else 1.0 if 40 <= t_s < 60 else 0.0)

    seconds = listen(receiver(), straight_on(80), faults)
    open_sky, weak, strong = (seconds[at].cn0_dbhz for at in (19, 30, 41))
    lost = [(open_sky[key] or 0.0) - level for key, level in weak.items() if level is not None and open_sky.get(key)]
    assert 18 < statistics.mean(lost) < 24
    assert seconds[30].has_fix
    assert strong.keys() == weak.keys()  # still known to be there
    assert not any(strong.values())
    assert not any(second.has_fix for second in seconds[40:60])
    assert seconds[40].one("GGA").numSV == 0
    assert all(second.has_fix for second in seconds[65:])


def test_after_a_tunnel_satellites_come_back_one_by_one() -> None:
    seconds = listen(receiver(), straight_on(200, 20), between(50, 130, ReceiverFaults(tunnel=True)))
    assert [second.has_fix for second in seconds[50:130]] == [False] * 80
    back = next(second.motion.t_s for second in seconds[130:] if second.has_fix)
    assert 130 < back <= 134
    used = [second.one("GGA").numSV for second in seconds[130:140]]
    assert used[0] < used[2] <= used[-1]
    assert used[-1] > 20


def test_after_a_long_time_underground_ephemerides_are_old() -> None:
    sender = receiver()
    listen(sender, straight_on(10))
    listen(sender, straight_on(3 * 3600, from_s=10, step_s=60), ReceiverFaults(tunnel=True))
    seconds = listen(sender, straight_on(60, from_s=3 * 3600 + 10))
    back = next(second.motion.t_s for second in seconds if second.has_fix) - seconds[0].motion.t_s
    assert 15 < back < 40


def test_parked_hours_that_are_wound_on_count_as_heard_through() -> None:
    sender = receiver()
    listen(sender, straight_on(10))
    seconds = listen(sender, straight_on(10, from_s=9 * 3600))
    assert all(second.has_fix for second in seconds)


def test_a_canyon_hides_satellites_across_the_street() -> None:
    """The street runs east and west: what is heard low stands there."""
    open_sky = listen(receiver(), straight_on(300, 10, course_deg=90))
    canyon = listen(receiver(), straight_on(300, 10, course_deg=90), ReceiverFaults(canyon=1.0))
    assert canyon[60].one("GGA").numSV < 0.75 * open_sky[60].one("GGA").numSV
    assert statistics.mean(s.one("GGA").HDOP for s in canyon) > 1.3 * statistics.mean(
        s.one("GGA").HDOP for s in open_sky
    )
    across = statistics.pstdev(s.error_m[1] for s in canyon if s.has_fix)
    along = statistics.pstdev(s.error_m[0] for s in canyon if s.has_fix)
    assert 8 < across < 22
    assert along < 0.7 * across


def test_errors_lie_across_whatever_street() -> None:
    course = math.radians(30)
    seconds = listen(receiver(), straight_on(400, 10, course_deg=30), ReceiverFaults(canyon=1.0))
    errors = [second.error_m for second in seconds if second.has_fix]
    across = statistics.pstdev(east * math.cos(course) - north * math.sin(course) for east, north in errors)
    along = statistics.pstdev(east * math.sin(course) + north * math.cos(course) for east, north in errors)
    assert along < 0.7 * across


def test_first_fixes_after_a_tunnel_are_rough() -> None:
    fault = between(10, 20, ReceiverFaults(tunnel=True))
    drives = [
        [s for s in listen(receiver(seed), straight_on(60, 20), fault) if s.motion.t_s >= 20] for seed in range(20)
    ]
    first = [math.hypot(*next(s for s in drive if s.has_fix).error_m) for drive in drives]
    later = [math.hypot(*drive[-1].error_m) for drive in drives]
    assert statistics.mean(first) > 3 * statistics.mean(later)
    assert max(later) < 6


def test_multipath_is_as_large_as_asked_and_slow_while_standing() -> None:
    fault = ReceiverFaults(multipath_m=20.0)
    standing = [s.error_m for seed in range(6) for s in listen(receiver(seed), straight_on(300), fault)]
    moving = [s.error_m for s in listen(receiver(), straight_on(600, 15), fault)]
    assert 12 < statistics.pstdev(east for east, _ in standing) < 30
    assert 15 < statistics.pstdev(east for east, _ in moving) < 25

    def mean_step(errors: list[tuple[float, float]]) -> float:
        return statistics.mean(abs(a[0] - b[0]) for a, b in itertools.pairwise(errors))

    assert mean_step(standing) < 0.5 * mean_step(moving)


def test_spoofed_signals_are_all_alike() -> None:
    fault = ReceiverFaults(spoof_jump_m=(3000.0, -1000.0))
    seconds = listen(receiver(), straight_on(60), between(20, 40, fault))
    heard = [level for level in seconds[30].cn0_dbhz.values() if level is not None]
    assert statistics.pstdev(heard) < 1.0
    assert len(heard) == len(seconds[30].cn0_dbhz)
    assert seconds[20].error_m == pytest.approx((3000, -1000), abs=10)
    assert seconds[19].error_m == pytest.approx((0, 0), abs=10)
    assert not seconds[40].has_fix  # what it followed is gone
    assert seconds[45].error_m == pytest.approx((0, 0), abs=25)


@pytest.mark.parametrize("drag", [(1.0, 0.0), (0.0, -10.0), (3.0, 4.0)])
def test_a_slow_drag(drag: tuple[float, float]) -> None:
    seconds = listen(receiver(), straight_on(120), between(30, 90, ReceiverFaults(spoof_drag_mps=drag)))
    assert seconds[30].error_m == pytest.approx((0, 0), abs=6)
    assert seconds[89].error_m == pytest.approx((59 * drag[0], 59 * drag[1]), abs=8)
    speed = statistics.mean(s.one("RMC").spd for s in seconds[40:80]) * 1852 / 3600
    assert speed == pytest.approx((drag[0] ** 2 + drag[1] ** 2) ** 0.5, abs=0.1)
    course = statistics.mean(s.one("RMC").cog for s in seconds[40:80])
    assert course == pytest.approx(math.degrees(math.atan2(*drag)) % 360, abs=2)
    assert seconds[110].error_m == pytest.approx((0, 0), abs=10)
    again = listen(receiver(), straight_on(30, from_s=0), between(0, 30, ReceiverFaults(spoof_drag_mps=drag)))
    assert again[0].error_m == pytest.approx((0, 0), abs=6)


def test_a_jump_stays_while_the_drag_begins() -> None:
    def faults(t_s: float) -> ReceiverFaults:
        return ReceiverFaults(spoof_jump_m=(100.0, 0.0), spoof_drag_mps=(0.0, 5.0 if t_s >= 20 else 0.0))

    seconds = listen(receiver(), straight_on(40), faults)
    assert seconds[19].error_m == pytest.approx((100, 0), abs=6)
    assert seconds[39].error_m == pytest.approx((100, 19 * 5), abs=6)


def test_frozen_tells_the_same_place_at_new_times() -> None:
    seconds = listen(receiver(), straight_on(60, 20), between(20, 40, ReceiverFaults(frozen=True)))
    frozen = seconds[20:40]
    assert len({(s.one("RMC").lat, s.one("RMC").lon, s.one("RMC").spd, s.one("GGA").alt) for s in frozen}) == 1
    assert len({s.one("RMC").time for s in frozen}) == 20
    assert all(s.has_fix for s in frozen)
    assert seconds[45].error_m == pytest.approx((0, 0), abs=6)
    assert abs(frozen[-1].error_m[0]) > 300


def test_other_systems_and_one_alone() -> None:
    four = listen(receiver(systems=("GPS", "BeiDou", "GLONASS", "Galileo")), straight_on(2))[1]
    assert [gsa.systemId for gsa in four.all_of("GSA")] == ["1", "4", "2", "3"]
    assert {talker for talker, _ in four.cn0_dbhz} == {"GP", "GB", "GL", "GA"}
    alone = listen(receiver(systems=("BeiDou",), talkers=("BD", "BD")), straight_on(2), NO_FAULTS)[1]
    assert {line[1:3] for line in alone.raw} == {b"BD"}
    assert alone.has_fix
