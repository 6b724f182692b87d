"""One story as a picture: its acts, what goes wrong, speed and voltage, what was expected and what came. Inline SVG.

The picture's time is the story's, but skipped hours are folded to a thin band with their length written on it, so that
minutes stay readable beside days.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from firmware_sim.bench.evidence import Evidence, Moment
from firmware_sim.bench.judge import Outcome
from firmware_sim.bench.result import Result
from firmware_sim.story.describe import span
from firmware_sim.story.schema import Story
from firmware_sim.story.vocabulary import ACTS

_WIDTH, _LEFT, _RIGHT = 1080.0, 118.0, 12.0
_FOLD_PX = 26.0
_LANE, _CURVE = 20.0, 64.0
_TICKS = (10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400)
_MOST_MOMENTS = 700


@dataclass(frozen=True, slots=True)
class Scale:
    """Story seconds → x. `folds`: skipped spans, each `_FOLD_PX` wide."""

    end_s: float
    folds: tuple[tuple[float, float], ...]

    def x(self, at_s: float) -> float:
        """Of an instant; inside a fold in proportion."""
        lived_s, folded = at_s, 0.0
        for from_s, to_s in self.folds:
            inside_s = min(max(at_s - from_s, 0.0), to_s - from_s)
            lived_s -= inside_s
            folded += _FOLD_PX * inside_s / (to_s - from_s)
        return round(_LEFT + max(lived_s, 0.0) * self.px_per_s + folded, 1)

    @property
    def px_per_s(self) -> float:
        """Of lived time."""
        whole_s = self.end_s - sum(to_s - from_s for from_s, to_s in self.folds)
        return (_WIDTH - _LEFT - _RIGHT - _FOLD_PX * len(self.folds)) / max(whole_s, 1.0)


class Picture:
    """Lanes from top to bottom; `done` is the SVG."""

    def __init__(self, scale: Scale) -> None:
        self._scale, self._parts, self._y = scale, list[str](), 18.0
        self._behind: list[str] = []

    def lane(self, zh: str, en: str, height: float = _LANE) -> float:
        """Begin a lane with its name in both languages; its top."""
        top, self._y = self._y, self._y + height + 6
        middle = top + height / 2 + 4
        self._parts.append(
            f'<text x="{_LEFT - 8}" y="{middle:.0f}" class="lane" text-anchor="end">'
            f'<tspan class="zh">{escape(zh)}</tspan><tspan class="en">{escape(en)}</tspan></text>'
        )
        return top

    def bar(
        self, from_s: float, to_s: float, top: float, kind: str, text: str, hint: str, height: float = _LANE
    ) -> None:
        """A span of time; its text where it fits, all of it when hovered."""
        left, right = self._scale.x(from_s), self._scale.x(to_s)
        width = max(right - left, 2.0)
        self._parts.append(
            f'<g><title>{escape(hint)}</title><rect x="{left}" y="{top:.0f}" width="{width:.1f}" height="{height:.0f}"'
            f' class="{kind}"/>'
        )
        if _wide(text) * 6.4 < width - 4:
            self._parts.append(f'<text x="{left + 3}" y="{top + 14:.0f}" class="on">{escape(text)}</text>')
        self._parts.append("</g>")

    def mark(self, at_s: float, top: float, kind: str, hint: str) -> None:
        """An instant."""
        x = self._scale.x(at_s)
        self._parts.append(
            f'<g class="{kind}"><title>{escape(hint)}</title><path d="M{x} {top + 1:.0f}l6 9l-6 9l-6 -9z"/></g>'
        )

    def curve(self, points: Sequence[tuple[float, float]], top: float, low: float, high: float, kind: str) -> None:
        """Values over time between `low` (bottom) and `high` (top)."""
        if points:
            found = " ".join(
                f"{self._scale.x(at_s)},{top + _CURVE - (min(max(value, low), high) - low) / (high - low) * _CURVE:.1f}"
                for at_s, value in points
            )
            self._parts.append(f'<polyline points="{found}" class="{kind}"/>')
        for value, y in ((high, top + 9), (low, top + _CURVE)):
            self._parts.append(f'<text x="{_LEFT - 8}" y="{y:.0f}" class="small" text-anchor="end">{value:g}</text>')

    def folds_and_ticks(self) -> None:
        """Skipped hours as bands, and the axis."""
        for from_s, to_s in self._scale.folds:
            x = self._scale.x(from_s)
            told = escape(span(to_s - from_s))
            self._behind.append(
                f'<g><title>» {told}</title><rect x="{x}" y="14" width="{_FOLD_PX}" height="{self._y - 14:.0f}"'
                f' class="fold"/><text x="{x + _FOLD_PX / 2 + 4:.0f}" y="{self._y - 8:.0f}" class="small"'
                f' transform="rotate(-90 {x + _FOLD_PX / 2 + 4:.0f} {self._y - 8:.0f})">» {told}</text></g>'
            )
        every_s = next((each for each in _TICKS if each * self._scale.px_per_s >= 60), _TICKS[-1])
        at_s = 0.0
        while at_s <= self._scale.end_s:
            if not any(from_s < at_s < to_s for from_s, to_s in self._scale.folds):
                x = self._scale.x(at_s)
                self._behind.append(
                    f'<line x1="{x}" x2="{x}" y1="14" y2="{self._y:.0f}" class="tick"/>'
                    f'<text x="{x}" y="11" class="small" text-anchor="middle">{escape(span(at_s))}</text>'
                )
            at_s = _after(at_s + every_s, every_s, self._scale.folds)

    def done(self) -> str:
        """The whole element."""
        self.folds_and_ticks()
        height = self._y + 6
        return (
            f'<svg viewBox="0 0 {_WIDTH:.0f} {height:.0f}" xmlns="http://www.w3.org/2000/svg" role="img">'
            + "".join((*self._behind, *self._parts))
            + "</svg>"
        )


def timeline(result: Result) -> str:
    """The picture of one story."""
    story, evidence = result.story, result.evidence
    folds = tuple(
        (from_s, min(to_s, story.duration_s)) for from_s, to_s in evidence.skipped if from_s < story.duration_s
    )
    picture = Picture(Scale(story.duration_s, folds))
    _acts(picture, story)
    _faults(picture, story, evidence)
    _curves(picture, evidence)
    _expected(picture, result)
    _seen(picture, result)
    return picture.done()


def _acts(picture: Picture, story: Story) -> None:
    top = picture.lane("经过", "acts")
    for act in story.acts:
        kind = ACTS[act.do]
        hint = f"{act.name}: {kind.zh} / {kind.en}" + (f" → {act.to}" if act.to else "") + f" ({span(act.seconds)})"
        picture.bar(act.begin_s, act.end_s, top, f"act {act.do}", act.name, hint)


def _faults(picture: Picture, story: Story, evidence: Evidence) -> None:
    for number, fault in enumerate(story.faults):
        top = picture.lane("故障" if number == 0 else "", "faults" if number == 0 else "")
        value = "" if fault.value is True else f" = {fault.value}"
        hint = f"{fault.what}{value}  {span(fault.begin_s)} … {span(fault.end_s)}"
        picture.bar(fault.begin_s, fault.end_s, top, "fault", f"{fault.what}{value}", hint)
    if evidence.off:
        top = picture.lane("终端停机", "unit off")
        for from_s, to_s in evidence.off:
            if from_s < story.duration_s:
                picture.bar(
                    max(from_s, 0.0), min(to_s, story.duration_s), top, "off", "", f"{span(from_s)} … {span(to_s)}"
                )


def _curves(picture: Picture, evidence: Evidence) -> None:
    moments = _thinned([each for each in evidence.moments if each.at_s >= 0])
    top = picture.lane("车速 km/h", "speed km/h", _CURVE)
    fastest = max((each.speed_kmh for each in moments), default=0.0)
    picture.curve([(each.at_s, each.speed_kmh) for each in moments], top, 0, max(20, 10 * (fastest // 10 + 1)), "speed")
    volts = [each.volts for each in moments if each.volts > 0]
    is_24 = bool(volts) and max(volts) > 18
    top = picture.lane("电压 V", "volts", _CURVE)
    low, high = (18, 30) if is_24 else (9, 15)
    picture.curve([(each.at_s, each.volts) for each in moments], top, low, high, "volts")


def _expected(picture: Picture, result: Result) -> None:
    story, names = result.story, ("应见", "expected")
    for expect, finding in zip(story.expects, result.verdict.findings, strict=False):
        if expect.kind not in ("event", "alert"):
            continue
        top, names = picture.lane(*names), ("", "")
        kind = {Outcome.PASSED: "good", Outcome.FAILED: "bad", Outcome.WAITS: "waits"}[finding.outcome]
        to_s = min(expect.to_s, story.duration_s)
        hint = finding.what + (f": {finding.why}" if finding.why else "")
        picture.bar(expect.from_s, max(to_s, expect.from_s), top, f"expect {kind}", expect.name, hint)


def _seen(picture: Picture, result: Result) -> None:
    story = result.story
    forbidden = [
        (never.events, from_s, to_s) for never in story.nevers for from_s, to_s in never.spans if not never.waits_for
    ]
    kinds = list(dict.fromkeys(event.kind for event in result.evidence.events if event.at_s <= story.duration_s))
    for kind in kinds:
        top = picture.lane(kind, kind)
        for event in result.evidence.events:
            if event.kind != kind or event.at_s > story.duration_s:
                continue
            is_bad = any(kind in kinds_ and from_s <= event.at_s <= to_s for kinds_, from_s, to_s in forbidden)
            wanted = any(each.event == kind and each.from_s <= event.at_s <= each.to_s for each in story.expects)
            details = ", ".join(f"{name} = {value}" for name, value in event.details.items())
            hint = f"{kind}  {span(event.at_s)}" + (f"  ({details})" if details else "")
            picture.mark(event.at_s, top, "bad" if is_bad else "good" if wanted else "plain", hint)


def _thinned(moments: Sequence[Moment]) -> list[Moment]:
    every = max(1, len(moments) // _MOST_MOMENTS)
    return list(moments[::every])


def _after(at_s: float, every_s: float, folds: Iterable[tuple[float, float]]) -> float:
    """The next tick: days that are folded need no million of steps."""
    for from_s, to_s in folds:
        if from_s < at_s < to_s:
            return (to_s // every_s + 1) * every_s
    return at_s


def _wide(text: str) -> float:
    return sum(2.0 if character > "⺀" else 1.0 for character in text)
