"""From counted bytes and instants to figures."""

import math

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.edge_parts.columns import bytes_by_column
from benchmarks.edge_parts.day import Measured, below_tls, day_of, percentile, published_bytes
from benchmarks.edge_parts.figures import Arrived, Parked, driven, latencies, peer, split, whole_day
from benchmarks.edge_parts.namespaces import Counted
from benchmarks.edge_parts.stand import Written
from benchmarks.edge_parts.targets import TARGETS, judged
from benchmarks.edge_parts.watching import Row
from wire.records import Body, Sample, TimeQuality
from wire.seal import Identity, seal_batch
from wire.topics import BATCH

UNIT = "PW000001"


def sealed(samples: int) -> bytes:
    rows = tuple(
        Sample(
            n + 0.01 * (n % 7), 1_795_421_700_000 + 1000 * n, TimeQuality.GNSS, 31.0, 121.0, engine_rpm=n * n * 7 % 911
        )
        for n in range(samples)
    )
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    return seal_batch(key, Identity(UNIT, b"b" * 16, 1, 2), b"l" * 16, Body(1, rows))


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=400), st.sampled_from((0.5, 0.99)))
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found is not None
    assert sum(each <= found for each in values) >= share * len(values) - 1e-9
    assert sum(each < found for each in values) < share * len(values)


def test_a_percentile_of_nothing_is_nothing() -> None:
    assert percentile([], 0.99) is None


@pytest.mark.parametrize("payload", [0, 50, 89, 90, 1000, 16_000, 17_000])
def test_a_publish_is_framed_as_mqtt_3_1_1_says(payload: int) -> None:
    """Clause 2.2.3: the remaining length in groups of 7 bits."""
    rest = 2 + len(BATCH.of(UNIT)) + 2 + payload
    groups = max(1, math.ceil(math.log(rest + 1, 128)))
    assert published_bytes(UNIT, payload) == 1 + groups + rest


def test_a_day_is_two_hours_of_driving_and_cycles_for_the_rest() -> None:
    made = day_of(Measured(30.0, 900.0, 900.0, 5000.0, 4800.0))
    assert made.driving_kb == 216.0
    assert made.parked_kb == pytest.approx(79.2)
    assert made.trips_kb == 20.0
    assert made.connects_kb == 19.2
    assert made.kb == pytest.approx(216 + 79.2 + 20 + 19.2)


def test_what_passed_is_split_into_batches_headers_and_the_rest() -> None:
    told = split(Counted(1600, 8, 400, 4), 1000)
    assert told["tcp_ip_bytes"] == below_tls(12) == 12 * 52
    assert told["receipts_acknowledgements_pings_tls_bytes"] == 2000 - 1000 - 624


def test_bytes_a_sample_count_seal_and_framing() -> None:
    batches = [Arrived(0.0, 60, sealed(60)), Arrived(60.0, 30, sealed(30))]
    published = sum(published_bytes(UNIT, len(each.sealed)) for each in batches)
    told = driven(UNIT, batches, Counted(4000, 10, 500, 8))
    assert told["wire_bytes_per_sample"] == round(published / 90, 2)
    assert told["wire_samples"] == 90
    assert told["interface_bytes_per_sample"] == 50.0
    assert "interface_bytes_per_sample" not in driven(UNIT, batches, None)
    assert driven(UNIT, [], None)["wire_bytes_per_sample"] is None


def test_columns_and_seal_add_up_to_the_batch_and_the_noisiest_costs_most() -> None:
    data = sealed(60)
    costs = bytes_by_column([data])
    assert sum(costs.values()) == pytest.approx(len(data) / 60, abs=0.1)
    assert next(iter(costs)) == "engine_rpm"
    assert costs["seal"] > 1.5
    assert bytes_by_column([sealed(0)]) == {}


def test_a_day_needs_what_was_counted_while_driving() -> None:
    parked = Parked(
        [Arrived(0.0, 1, sealed(1))] * 2, Counted(900, 8, 900, 8), Counted(4000, 9, 1000, 9), Counted(2, 1, 3, 1)
    )
    told = whole_day(UNIT, {"interface_bytes_per_sample": 30.0}, parked)
    assert told["wire_kb_per_day"] == pytest.approx(216 + 79.2 + 20 + 0.02, abs=0.06)
    assert told["wire_day_measured"]["parked_bytes_per_cycle"] == 900.0
    assert whole_day(UNIT, {}, parked) == {"wire_kb_per_day": None}


def test_delays_count_from_the_last_byte_and_only_once_the_unit_had_settled() -> None:
    written = [
        Written("trouble_codes", "P0001", 5.0),
        Written("trouble_codes", "P0002", 20.0),
        Written("trouble_codes", "P0003", 30.0),
        Written("model_told", "1", 31.0),
    ]
    seen = {
        ("trouble_codes", "P0001"): Row(8.0, 9.0),
        ("trouble_codes", "P0002"): Row(20.015, 20.025),
        ("model_told", "1"): Row(31.02, 31.1),
    }
    told = latencies(written, seen, 10.0)
    assert told["events_timed"] == 2
    assert told["events_written_without_row"] == 1
    assert told["event_latency_ms_p50"] == 25.0
    assert told["event_latency_ms_p99"] == 100.0
    assert told["event_latency_ms_p50_until_the_servers_commit"] == 15.0
    assert told["event_latency_by_kind"]["trouble_codes"] == {"events": 1, "p50": 25.0, "p99": 25.0, "max": 25.0}


def test_a_days_driving_is_split_as_its_packets_were() -> None:
    wire = {
        "wire_kb_per_day": 310.0,
        "interface_driving": split(Counted(1600, 8, 400, 4), 1000),
        "wire_kb_per_day_by_part": {"driving_kb": 200.0, "parked_kb": 80.0, "trips_kb": 20.0, "connects_kb": 10.0},
    }
    most = judged(wire)["wire_kb_per_day"]["most_of_it"]
    assert sum(most.values()) == pytest.approx(310.0)
    assert most["driving: batches"] == 100.0
    assert most["driving: TCP and IP"] == 62.4


def test_without_events_there_is_no_delay() -> None:
    told = latencies([], {}, 0.0)
    assert (told["event_latency_ms_p50"], told["event_latency_ms_p99"], told["events_timed"]) == (None, None, 0)


def test_the_peer_is_told_by_process_and_as_a_ratio() -> None:
    told = peer(
        {"gpsd": 0.05, "publisher": 0.15},
        0.6,
        {"all": 20.0, "gpsd": 5.0, "publisher": 16.0},
        100,
        Counted(30_000, 9, 8_000, 9),
    )
    assert told["cpu_ratio_vs_peer"] == 3.0
    assert told["peer_pss_mib"] == 20.0
    assert told["peer_wire_bytes_per_fix"] == 380.0
    assert peer({"gpsd": 0.0}, 0.6, {"all": 1.0}, 0, None)["cpu_ratio_vs_peer"] is None


def test_a_target_is_met_missed_or_unknown() -> None:
    agent = {
        "interpreter": 11.0,
        "numpy": 14.0,
        "onnxruntime": 20.0,
        "model session, after inference": 11.0,
        "paho": 2.0,
    }
    figures = {
        "pss_mib": 112.0,
        "memory_mib_by_import": {"agent": agent},
        "pss_mib_by_process": {"agent": 90.0, "OBD worker": 16.0},
        "cpu_percent": 3.01,
        "cpu_percent_by_process": {"agent": 2.0, "OBD worker": 1.01},
        "cpu_percent_by_thread": {"MainThread": 1.5},
        "max_unsealed_s": 5.0,
    }
    told = judged(figures)
    assert (told["pss_mib"]["met"], told["pss_mib"]["half_met"]) == (True, False)
    assert told["pss_mib"]["most_of_it"]["other libraries and our code"] == 2.0
    assert told["cpu_percent"]["met"] is False
    assert told["cpu_percent"]["most_of_it"] == {"MainThread": 1.5, "OBD worker": 1.01}
    assert told["max_unsealed_s"]["half_met"] is True
    assert told["wire_kb_per_day"] == {"at_most": TARGETS["wire_kb_per_day"], "measured": None, "met": None}
