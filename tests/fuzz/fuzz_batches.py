"""Batches changed in every way that somebody on the line, or somebody with a unit's own key, could change them.

    python -m tests.fuzz.fuzz_batches --batches 100000 --seed 1 [--database postgresql+psycopg://…]

Must hold for each: it is stored, known already, or refused with a reason that is not our own fault; what is stored can
be read as history; and honest batches that come between are all stored.
"""

import argparse
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from server.live import Arrival, Outcome, Verdict, take
from server.store import history_rows
from server.store.db import Store
from tests.server.cars import NOW_MS, Car, add_car, sample
from wire import telemetry_pb2 as pb
from wire.codec import COLUMNS, encode_body
from wire.fold import fold
from wire.records import Body, Event, Gap, Sample, TimeQuality
from wire.refused import Reason
from wire.seal import BATCH_PURPOSE, MAX_SEALED_BYTES, link_to
from wire.topics import unit_of

_IN_A_COMMIT = 50
_HONEST_EVERY = 10
_UNITS = 25  # whose batches are changed
_SO_LONG_THE_SAME = 500
_WORST = (0, 1, -1, 2**31, 2**32 - 1, 2**51, 2**51 + 1, 2**53, -(2**51) - 1, 2**62, 2**63 - 1, -(2**63))
_TEXTS = ("", "\0", "nul\0", "x" * 300, "贷款", "\u202e", "'; DROP TABLE batches; --", "end_unknown", "command_answer")


class Fuzz:
    """One honest unit and many whose batches are changed, `bad` the one in hand; `dice` decides how."""

    def __init__(self, store: Store, seed: int) -> None:
        self.dice = random.Random(seed)
        self.store = store
        self.honest = self.bad = add_car(store)
        self.cars: dict[str, Car] = {}
        self.verdicts: Counter[str] = Counter()

    def run(self, count: int, progress: Callable[[int], None] = lambda _: None) -> Counter[str]:
        """So many changed batches. Raises AssertionError with what was taken wrongly."""
        done = 0
        while done < count:
            if done % _SO_LONG_THE_SAME == 0:  # what was forged may have made their chains impossible to continue
                self.cars = {car.name: car for car in (add_car(self.store) for _ in range(_UNITS))}
            part = [self.changed() for _ in range(min(_IN_A_COMMIT, count - done))]
            between = [self.honest.seal(sample(done + n)) for n in range(0, len(part), _HONEST_EVERY)]
            mixed = [*part, *between]
            self.dice.shuffle(mixed)
            outcomes, receipts = take(self.store, mixed, NOW_MS)
            for arrival, outcome in zip(mixed, outcomes, strict=True):
                self._look_at(arrival, outcome)
            assert {each.unit for each in receipts} <= {self.honest.name, *self.cars}
            done += len(part)
            progress(done)
            if done % _SO_LONG_THE_SAME == 0 or done == count:
                self._read_history()
        return self.verdicts

    def _read_history(self) -> None:
        """Whatever was stored can be read."""
        with self.store.read() as connection:
            for car in (self.honest, *self.cars.values()):
                history_rows.track(connection, car.lender_id, car.vehicle_id or 0, -(2**53), 2**53)
                history_rows.events_of(connection, car.lender_id, car.vehicle_id or 0)

    def changed(self) -> Arrival:
        """The next batch of a bad unit, changed in one way."""
        self.bad = self.dice.choice(list(self.cars.values()))
        way = self.dice.choice((self._damaged, self._other_topic, self._forged_content, self._forged_body, self._told))
        return way()

    def _look_at(self, arrival: Arrival, outcome: Outcome) -> None:
        if (
            arrival.topic.endswith(f"/{self.honest.name}/batch")
            and arrival.payload in self.honest.sealed[-_IN_A_COMMIT:]
        ):
            # Out of order they fill each other's holes; none is ever refused.
            assert outcome.verdict is Verdict.STORED, (outcome, arrival)
            return
        self.verdicts[str(outcome.reason or outcome.verdict.value)] += 1
        assert outcome.reason is not Reason.SERVER_FAULT, arrival
        if outcome.verdict is Verdict.STORED:
            # Its chain goes on from here, as a unit's would that sealed this.
            self._continue_from(arrival, self.cars[unit_of(arrival.topic) or ""])

    def _continue_from(self, arrival: Arrival, car: Car) -> None:
        content = self._content(arrival)
        is_next = content.boot == car.boot and content.sequence == car.sequence + 1
        if is_next or content.boot_number > car.boot_number:
            car.boot_number, car.boot = content.boot_number, content.boot
            car.sequence, car.link = content.sequence, link_to(arrival.payload)

    # -- what somebody on the line can do

    def _damaged(self) -> Arrival:
        """Bytes of a good batch flipped, cut, doubled, joined or made up."""
        payload = bytearray(self._good().payload)
        for _ in range(self.dice.randint(1, 4)):
            way, at = self.dice.randrange(6), self.dice.randrange(len(payload) + 1)
            if way == 0 and payload:
                payload[at % len(payload)] ^= 1 << self.dice.randrange(8)
            elif way == 1:
                del payload[at:]
            elif way == 2:
                payload[at:at] = self.dice.randbytes(self.dice.randint(1, 40))
            elif way == 3:
                payload += payload[:at]
            elif way == 4:
                payload = bytearray(self.dice.randbytes(self.dice.randint(0, 200)))
            else:
                payload += bytes(self.dice.choice((1, MAX_SEALED_BYTES)))
        return Arrival(self._good().topic, bytes(payload))

    def _other_topic(self) -> Arrival:
        good = self._good()
        topics = ("", "pw/1/00/x/batch", good.topic.upper(), good.topic + "/", good.topic.replace("batch", "receipt"))
        return Arrival(self.dice.choice((*topics, good.topic.replace(self.bad.name, self.honest.name))), good.payload)

    # -- what somebody with the unit's key can do

    def _forged_content(self) -> Arrival:
        """Identity, link or body of the content are something else, and the signature holds."""
        content = self._content(self._good())
        field = self.dice.choice(
            ("unit", "boot", "boot_number", "sequence", "link", "body_lzma", "body_zlib", "unknown")
        )
        if field == "unit":
            content.unit = self.dice.choice(_TEXTS)
        elif field == "boot":
            content.boot = self.dice.randbytes(self.dice.choice((0, 15, 16, 17)))
        elif field == "boot_number":
            content.boot_number = self.dice.choice((0, 1, content.boot_number + 1, 2**31 - 1, 2**31, 2**32 - 1))
        elif field == "sequence":
            content.sequence = self.dice.choice((0, 1, content.sequence + 1, 2**51, 2**51 + 1, 2**63, 2**64 - 1))
        elif field == "link":
            content.link = self.dice.randbytes(self.dice.choice((0, 15, 16, 32)))
        elif field == "unknown":
            return self._signed(content.SerializeToString() + b"\xba\x06\x03abc")
        else:
            setattr(content, field, self.dice.randbytes(self.dice.randint(0, 300)))
        return self._signed(content.SerializeToString())

    def _forged_body(self) -> Arrival:
        """The body's own fields are something else: columns, counts, numbers of samples."""
        body = pb.Body.FromString(encode_body(self._body()))
        for _ in range(self.dice.randint(1, 3)):
            way = self.dice.randrange(6)
            column = getattr(body.samples, self.dice.choice(COLUMNS).name)
            if way == 0:
                column.deltas.extend(self.dice.choices(_WORST, k=self.dice.randint(1, 3)))
            elif way == 1 and column.deltas:
                column.deltas[self.dice.randrange(len(column.deltas))] = self.dice.choice(_WORST)
            elif way == 2:
                column.present = self.dice.randbytes(self.dice.randint(0, 3))
            elif way == 3:
                column.order = self.dice.choice((0, 1, 2, 3, 2**32 - 1))
            elif way == 4:
                body.sample_count = self.dice.choice((0, 1, 3600, 3601, 2**32 - 1))
            else:
                body.kernel_boot = self.dice.choice((0, 1, 2**32 - 1))
        return self._with_body(body.SerializeToString())

    def _told(self) -> Arrival:
        """Well-formed, and absurd: texts, times and numbers that no unit tells."""
        dice, body = self.dice, pb.Body.FromString(encode_body(self._body()))
        for _ in range(dice.randint(1, 3)):
            way = dice.randrange(4)
            if way == 0:
                event = body.events.add(kind=dice.choice(_TEXTS), mono_ms=dice.choice(_WORST))
                event.time_quality = dice.choice((0, 1, 2, 3, 4, 5, 6))
                event.details[dice.choice(_TEXTS)] = dice.choice(_TEXTS)
                if dice.random() < 0.7:
                    event.time_utc_ms = dice.choice((*_WORST, NOW_MS))
            elif way == 1:
                first, last = (abs(dice.choice(_WORST)) for _ in range(2))
                gap = body.gaps.add(boot=self.bad.boot, first=first, last=last, reason=dice.choice(_TEXTS))
                gap.samples = abs(dice.choice(_WORST))
            elif way == 2:
                body.counts[dice.choice(_TEXTS)] = abs(dice.choice(_WORST))
            else:
                return self._with_body(encode_body(Body(1, tuple(self._absurd_sample(n) for n in range(3)))))
        return self._with_body(body.SerializeToString())

    def _absurd_sample(self, number: int) -> Sample:
        quality = self.dice.choice(list(TimeQuality))
        times = (None, 0, -1, NOW_MS, NOW_MS + 10**12, 2**51, -(2**51))
        values = {
            column.name: self.dice.choice((None, 0, -1, 2**51 // column.steps_per_unit))
            for column in COLUMNS
            if column.name not in ("mono_s", "time_utc_ms", "time_quality")
        }
        return Sample(self.dice.choice((0.0, float(number), 2.0**40)), self.dice.choice(times), quality, **values)

    # -- parts

    def _body(self) -> Body:
        rows = tuple(sample(self.bad.sequence + n, engine_rpm=800.0 + n) for n in range(3))
        event = Event("unit_started", 5, None, TimeQuality.NONE, {"version": "1"})
        return Body(1, rows, (event,), (Gap(b"\x09" * 16, 3, 8, 120, "full"),), {"gnss.accepted": 7})

    def _good(self) -> Arrival:
        return self.bad.forge(self.bad.sequence + 1, self.bad.link, self._body())

    @staticmethod
    def _content(arrival: Arrival) -> pb.BatchContent:
        return pb.BatchContent.FromString(pb.Sealed.FromString(arrival.payload).content)

    def _with_body(self, body: bytes) -> Arrival:
        content = self._content(self._good())
        content.body_lzma = fold(body)
        return self._signed(content.SerializeToString())

    def _signed(self, content: bytes) -> Arrival:
        signature = self.bad.key.sign(BATCH_PURPOSE + content)
        sealed = pb.Sealed(version=2, content=content, signature=signature)
        return Arrival(self._good().topic, sealed.SerializeToString())


def main(argv: list[str] | None = None) -> int:
    """Fuzz, and tell what became of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", help="an empty one, by URL (default: SQLite in a temporary folder)")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(arguments.database or f"sqlite:///{Path(folder)}/fuzz.db")
        store.migrate()

        def progress(done: int) -> None:
            print(f"\r{done:8} of {arguments.batches}", end="", file=sys.stderr, flush=True)

        verdicts = Fuzz(store, arguments.seed).run(arguments.batches, progress)
        store.close()
    print(file=sys.stderr)
    print(json.dumps(dict(verdicts.most_common())))
    return 0


if __name__ == "__main__":
    import logging

    logging.getLogger("server.live").setLevel(logging.CRITICAL)  # each refusal is told there
    sys.exit(main())
