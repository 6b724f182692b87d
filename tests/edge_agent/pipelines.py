"""A pipeline, a drive to the north for it, and what the server's own code reads of what it seals."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import xor

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_agent.batch import Batcher, Sealed, SealedBefore
from edge_agent.car.engine import EngineSettings
from edge_agent.car.readings import Reading
from edge_agent.pipeline import Pipeline
from edge_agent.power.settings import PowerSettings
from edge_agent.power.watch import PowerWatch
from edge_agent.rules import EventSettings, Watch
from edge_agent.sampling import Sampler, SamplingSettings
from edge_agent.score import Scorer
from edge_agent.situation import Situation
from edge_agent.timing.clock import SystemTime, UtcClock
from wire.records import Body, Sample
from wire.seal import open_seal, read_body

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
UNIT, BOOT = "PW000001", b"b" * 16
BEGIN = datetime(2026, 11, 23, 8, 15, 0, tzinfo=UTC)
BEGIN_MS = 1_795_421_700_000
STEP_MINUTES = 0.0123456  # north, 23 m a second
RECORDED = UtcClock(plays_recording=True)
NOBODY = SystemTime(0, is_disciplined=False, has_rtc=False)


def ntp(offset_ms: int) -> SystemTime:
    return SystemTime(offset_ms, is_disciplined=True, has_rtc=False)


def signed(body: str) -> bytes:
    return f"${body}*{reduce(xor, body.encode()):02X}\r\n".encode()


def epoch(
    n: int, knots: str = "45.000", driven: int | None = None, place: str | None = None, date: str = "231126"
) -> bytes:
    """The sentences of second `n` of a drive to the north; `driven`: where it is, as seconds of that drive."""
    time = (BEGIN + timedelta(seconds=n)).strftime("%H%M%S.00")
    minutes = 49.12345 + (n if driven is None else driven) * STEP_MINUTES
    place = place or f"31{minutes:010.7f},N,11713.5432100,E"
    return b"".join(
        signed(body)
        for body in (
            f"GNRMC,{time},A,{place},{knots},0.00,{date},,,A",
            f"GNVTG,0.00,T,,M,{knots},N,{float(knots) * 1.852:.3f},K,A",
            f"GNGGA,{time},{place},1,09,0.80,37.5,M,-1.2,M,,",
        )
    )


def drive(seconds: int) -> list[bytes]:
    return [epoch(n) for n in range(seconds)]


def pipeline_of(
    samples: int = 60,
    after_s: float = 60.0,
    scorer: Scorer | None = None,
    told: Mapping[str, object] | None = None,
    clock: UtcClock = RECORDED,
    profile: str = "full",
) -> Pipeline:
    return Pipeline(
        Batcher(KEY, SealedBefore(UNIT, BOOT, 1), 7, samples, after_s),
        clock=clock,
        situation=Situation("", EngineSettings()),
        watch=Watch(EventSettings()),
        sampler=Sampler(SamplingSettings(profile, heartbeat_s=100)),
        power=PowerWatch(PowerSettings(), None, None, 0.0),
        hold=False,
        scorer=scorer,
        told=told,
    )


def played(pipeline: Pipeline, chunks: Iterable[bytes], mono_s: float | None = None) -> list[Sealed]:
    """A chunk a second (or all at `mono_s`), then silence and the end."""
    sealed: list[Sealed] = []
    last_s = 0.0
    for n, chunk in enumerate(chunks):
        last_s = float(n) if mono_s is None else mono_s
        sealed += pipeline.on_gnss(chunk, last_s)
    return [*sealed, *pipeline.on_gnss_silence(last_s), *pipeline.finish()]


def bodies(sealed: Iterable[Sealed]) -> list[Body]:
    return [read_body(open_seal(each.data, UNIT, KEY.public_key())) for each in sealed]


def samples(sealed: Iterable[Sealed]) -> list[Sample]:
    return [sample for body in bodies(sealed) for sample in body.samples]


def events(sealed: Iterable[Sealed]) -> list[tuple[str, dict[str, str]]]:
    return [(event.kind, dict(event.details)) for body in bodies(sealed) for event in body.events]


def told(sealed: Iterable[Sealed]) -> dict[str, int]:
    """The newest value of each count, as the server keeps it."""
    return {name: count for body in bodies(sealed) for name, count in body.counts.items()}


def parked(pipeline: Pipeline, begin_s: int, end_s: int) -> list[Sealed]:
    """Standing, with a battery at rest and a car that says nothing."""
    sealed: list[Sealed] = []
    for n in range(begin_s, end_s):
        sealed += pipeline.on_gnss(epoch(n, knots="0.000", driven=0), float(n))
        sealed += pipeline.on_gnss_silence(n + 0.2)
        if n % 10 == 0:
            pipeline.on_reading(Reading("adapter_voltage_v", 12.6, float(n)))
        sealed += pipeline.on_tick(n + 0.5, NOBODY)
    return sealed
