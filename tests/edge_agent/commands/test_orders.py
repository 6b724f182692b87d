"""Orders carried out on a real pipeline and outbox: what leaves the car for each, once, and in one chain."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from edge_agent.batch import Sealed
from edge_agent.commands.desk import CommandDesk
from edge_agent.commands.memory import CommandMemory
from edge_agent.commands.orders import Orders
from edge_agent.commands.overrides import Overrides
from edge_agent.config import SECTIONS, read_config
from edge_agent.store.kept import Following
from edge_agent.store.outbox import Outbox
from tests.edge_agent.commanding import HOUR_MS, KEYS, NOW_MS, command, sealed
from tests.edge_agent.pipelines import BEGIN_MS, KEY, UNIT, bodies, drive, events, parked, pipeline_of, played, samples
from wire.records import Receipt, SequenceRange
from wire.seal import link_to, open_seal

STATUS = {"unit.name": UNIT, "power.state": "parked"}


class Car:
    """One unit: its orders, and all that they and the pipeline have sealed. The server's clock stood at NOW_MS at 0."""

    def __init__(self, folder: Path, following: Following | None = None) -> None:
        (folder / "unit.toml").write_text(f'unit = "{UNIT}"\n[gnss]\n[broker]\nhost = "localhost"\n')
        self.pipeline = pipeline_of(samples=1000, after_s=1e6)
        self.outbox = Outbox.create(folder / f"outbox{len(list(folder.iterdir()))}.db", 1)
        self.overrides = Overrides(folder / "kept" / "overrides.json")
        self.memory = folder / "commands.json"
        self.restarts = 0
        self.sealed: list[Sealed] = []
        config = read_config(folder / "unit.toml")
        desk = CommandDesk(UNIT, KEYS, CommandMemory(self.memory), SECTIONS)
        self.orders = Orders(
            config, desk, self.pipeline, self.outbox, self.overrides, lambda: STATUS, self._restart, following
        )

    def _restart(self) -> None:
        self.restarts += 1

    def park(self, begin_s: int, end_s: int) -> list[float]:
        """Standing; the seconds whose samples left meanwhile, sealed by then."""
        new = parked(self.pipeline, begin_s, end_s)
        self.sealed += new
        return [sample.mono_s for sample in samples(new)]

    def told(self, data: bytes, mono_s: float, *, knows_time: bool = True) -> list[tuple[str, dict[str, str]]]:
        """The events with which one message of the server is answered."""
        new = self.orders.on_command(data, mono_s, self.server_ms(mono_s) if knows_time else None)
        self.sealed += new
        return events(new)

    def order(self, kind: str, mono_s: float, **parameters: object) -> list[tuple[str, dict[str, str]]]:
        return self.told(order(kind, mono_s, **parameters), mono_s)

    @staticmethod
    def server_ms(mono_s: float) -> int:
        return NOW_MS + round(mono_s * 1000)


def order(kind: str, mono_s: float = 0.0, **parameters: object) -> bytes:
    texts = {name: str(value) for name, value in parameters.items()}
    return sealed(command(kind, texts, unit=UNIT, issued_ms=NOW_MS + round(mono_s * 1000)))


def outcomes(answers: Iterable[tuple[str, dict[str, str]]]) -> list[tuple[str, str]]:
    return [(told["outcome"], told["reason"]) for kind, told in answers if kind == "command_answer"]


@pytest.fixture
def car(tmp_path: Path) -> Car:
    (tmp_path / "kept").mkdir()
    return Car(tmp_path)


def parked_car(car: Car) -> Car:
    """At rest for so long that only heartbeats leave it."""
    car.park(0, 400)
    assert car.pipeline.plan.heartbeat
    return car


SET = {"section": "batch", "name": "samples", "value": "7"}
EVERY_KIND: dict[str, dict[str, object]] = {
    "locate": {},
    "follow": {"minutes": 1},
    "cancel_follow": {},
    "recall": {"from_ms": BEGIN_MS + 395_000, "to_ms": BEGIN_MS + 399_000},
    "status": {},
    "set": dict(SET),
    "fly": {},
}


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_every_order_is_answered_once_and_breaks_no_chain(car: Car, kind: str) -> None:
    parked_car(car)
    answers = car.order(kind, 400.0, **EVERY_KIND[kind])
    assert len(outcomes(answers)) == 1
    assert [details["kind"] for name, details in answers if name == "command_answer"] == [kind]
    car.park(400, 410)
    car.sealed += car.pipeline.on_event("status", 410.0, {})
    link = b""
    for sequence, each in enumerate(car.sealed, 1):
        opened = open_seal(each.data, UNIT, KEY.public_key())
        assert (each.sequence, opened.identity.sequence, opened.link) == (sequence, sequence, link)
        link = link_to(each.data)


def test_a_status_is_told_as_the_unit_sees_itself(car: Car) -> None:
    told = car.order("status", 1.0)
    assert ("status", STATUS) in told
    assert outcomes(told) == [("done", "")]


def test_a_parked_car_that_is_to_be_located_says_where_it_is_at_once_and_rests_again(car: Car) -> None:
    parked_car(car)
    assert outcomes(car.order("locate", 400.0)) == [("done", "")]
    arrived = car.park(400, 412)
    assert {400.0, 405.0, 410.0} <= set(arrived), "each second, sealed within a second or two"
    assert all(sample.lat_deg is not None for body in bodies(car.sealed) for sample in body.samples[-10:])
    car.park(412, 500)
    car.pipeline.finish()
    assert car.park(500, 590) == [], "and nothing more than heartbeats when it is over"


def test_a_follow_lasts_as_long_as_it_was_asked_for(car: Car) -> None:
    parked_car(car)
    car.order("follow", 400.0, minutes=1, every_s=5)
    batches = len(car.sealed)
    arrived = car.park(400, 460)
    assert arrived[-1] >= 450.0
    assert 10 <= len(car.sealed) - batches <= 14, "one each five seconds"
    assert car.park(470, 560) == []


def test_a_locate_in_a_follow_does_not_end_it(car: Car) -> None:
    parked_car(car)
    car.order("follow", 400.0, minutes=2, every_s=5)
    car.park(400, 410)
    assert outcomes(car.order("locate", 410.0)) == [("done", "")]
    assert car.park(410, 510)[-1] >= 500.0


def test_a_locate_at_the_end_of_a_follow_still_sees_where_it_goes(car: Car) -> None:
    parked_car(car)
    car.order("follow", 400.0, minutes=1, every_s=5)
    car.park(400, 458)
    car.order("locate", 458.0)
    assert car.park(458, 475)[-1] >= 470.0


def test_a_follow_that_is_cancelled_ends_and_does_not_come_back_with_a_restart(car: Car, tmp_path: Path) -> None:
    parked_car(car)
    car.order("follow", 400.0, minutes=60)
    assert car.orders.following == Following(10, car.server_ms(400.0) + HOUR_MS)
    car.order("cancel_follow", 410.0)
    car.park(410, 480)  # what an order wakes is told in full for a minute
    car.pipeline.finish()
    assert car.park(480, 570) == []
    assert car.orders.following is None


def test_a_follow_goes_on_after_a_restart_for_what_is_left_of_it(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    again = Car(tmp_path, Following(5, NOW_MS + 500_000))
    again.park(0, 400)
    assert again.orders.on_server_time(400.0, None) == (), "without the server's time nobody knows how much is left"
    assert again.park(400, 430) == []
    again.orders.on_server_time(430.0, again.server_ms(430.0))
    arrived = again.park(430, 520)
    assert 490.0 <= arrived[-1] <= 500.0


def test_a_follow_that_ended_while_the_unit_was_off_stays_ended(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    again = Car(tmp_path, Following(5, NOW_MS + 300_000))
    again.park(0, 400)
    waits = again.pipeline.open_samples
    again.orders.on_server_time(400.0, again.server_ms(400.0))
    assert again.pipeline.open_samples == waits, "nothing of the last minute is called for"
    assert again.park(400, 430) == []


def test_the_same_bytes_again_are_carried_out_once(car: Car) -> None:
    parked_car(car)
    data = order("follow", 400.0, minutes=1, every_s=5)
    assert len(outcomes(car.told(data, 400.0))) == 1
    car.park(400, 455)
    assert car.told(data, 455.0) == [], "answered a moment ago"
    assert car.park(455, 600)[-1:] <= [460.0], "the minute is not counted from the repetition"
    ((_, again),) = car.told(data, 600.0)
    assert (again["outcome"], again["repeated"]) == ("done", "yes")


def test_an_order_waits_until_the_servers_time_is_known(car: Car) -> None:
    parked_car(car)
    assert car.told(order("status", 400.0), 400.0, knows_time=False) == []
    assert car.orders.on_server_time(401.0, None) == ()
    told = events(car.orders.on_server_time(402.0, car.server_ms(402.0)))
    assert [kind for kind, _ in told] == ["status", "command_answer"]
    late = order("status", 400.0)
    assert car.told(late, 403.0, knows_time=False) == []
    expired = events(car.orders.on_server_time(404.0, NOW_MS + 400_000 + HOUR_MS))
    assert outcomes(expired) == [("refused", "expired")]


def test_what_power_cut_short_is_answered_and_not_begun_again(car: Car, tmp_path: Path) -> None:
    CommandMemory(car.memory).begin(command("follow", {"minutes": "5"}, unit=UNIT))
    again = Car(tmp_path)
    ((_, details),) = events(again.orders.on_start(1.0))
    assert (details["kind"], details["outcome"]) == ("follow", "interrupted")
    assert again.orders.following is None
    assert parked_car(again).park(400, 490) == []


# Recall


def keep(car: Car, sealed: list[Sealed]) -> None:
    """In the outbox, each with its receipt."""
    car.outbox.put(sealed, None)
    spans = (SequenceRange(1, sealed[-1].sequence),)
    for time_ms in (1, 2):
        car.outbox.receipt(Receipt(UNIT, car.outbox.boot, spans, time_ms))
    assert car.outbox.held().waiting == 0


def test_a_recall_sends_again_the_batches_of_its_window_and_no_others(car: Car) -> None:
    source = pipeline_of(samples=10)
    keep(car, played(source, drive(100)))
    told = car.order("recall", 0.0, from_ms=BEGIN_MS + 25_000, to_ms=BEGIN_MS + 44_000)
    assert outcomes(told) == [("done", "3 batches again, 0 samples not sent before")]
    assert car.outbox.held().waiting == 3


def test_a_recall_brings_the_seconds_that_a_parked_car_keeps_to_itself(car: Car) -> None:
    parked_car(car)
    window = {"from_ms": BEGIN_MS + 390_000, "to_ms": BEGIN_MS + 395_000}
    told = car.order("recall", 400.0, **window)
    assert outcomes(told) == [("done", "0 batches again, 6 samples not sent before")]
    sent = {sample.time_utc_ms for sample in samples(car.sealed)}
    assert {BEGIN_MS + 390_000 + 1000 * n for n in range(6)} <= sent, "with the answer, not some minutes later"


def test_a_recall_of_what_is_not_there_fails_in_words(car: Car) -> None:
    parked_car(car)
    told = car.order("recall", 400.0, from_ms=BEGIN_MS - 500_000, to_ms=BEGIN_MS - 400_000)
    assert outcomes(told) == [("failed", "nothing is kept of that time")]


# Settings


def test_a_changed_setting_is_kept_before_the_agent_begins_anew(car: Car) -> None:
    assert outcomes(car.order("set", 0.0, **SET)) == [("done", "")]
    assert car.restarts == 1
    assert car.overrides.values == {"batch": {"samples": "7"}}


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("batch", "samples", "0"),
        ("batch", "samples", "many"),
        ("batch", "journal_every_s", "9"),  # not the server's
        ("batch", "colour", "red"),
        ("broker", "host", "elsewhere.example"),
        ("power", "cutoff_v", "11.8"),  # the starter's
        ("obd", "baud", "9600"),
        ("nothing", "at_all", "1"),
    ],
)
def test_a_setting_that_is_not_the_servers_or_out_of_bounds_changes_nothing(
    car: Car, section: str, name: str, value: str
) -> None:
    ((outcome, reason),) = outcomes(car.order("set", 0.0, section=section, name=name, value=value))
    assert outcome == "refused"
    assert reason.startswith("parameters: ")
    assert (car.restarts, car.overrides.values) == (0, {})


def test_a_card_that_takes_nothing_is_an_answer_and_no_restart(car: Car, tmp_path: Path) -> None:
    (tmp_path / "kept").rmdir()
    ((outcome, reason),) = outcomes(car.order("set", 0.0, **SET))
    assert outcome == "failed"
    assert reason.startswith("the card does not take it: ")
    assert (car.restarts, car.overrides.values) == (0, {})
