"""`pledgewatch-sim run`: reads the stories, plays so many at a time, says what came of them, writes the reports."""

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from firmware_sim.bench.catalogue import chosen
from firmware_sim.bench.devices import Devices
from firmware_sim.bench.evidence import Evidence
from firmware_sim.bench.html_report import html_report
from firmware_sim.bench.judge import Outcome, Verdict, judge
from firmware_sim.bench.junit import junit_report
from firmware_sim.bench.leaving import leave_with_parent, leaving_tidily
from firmware_sim.bench.physical import Desk, DeskRig, require_playable
from firmware_sim.bench.player import Player, lead_s
from firmware_sim.bench.processes import BenchError, Processes
from firmware_sim.bench.result import Result
from firmware_sim.bench.rig import LocalRig
from firmware_sim.bench.unit import default_agent, require_agent
from firmware_sim.bench.wheel import StoryClock
from firmware_sim.story.describe import span
from firmware_sim.story.schema import Story, StoryError

PASSED, FAILED, REFUSED = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Order:
    """One story to be played, as it goes to a process of its own."""

    story: Story
    agent: tuple[str, ...]
    rate: float
    keep: Path | None
    desk: Desk | None = None


def run(arguments: argparse.Namespace) -> int:
    """The exit status. Raises StoryError for stories that cannot be read or cannot be played so."""
    stories = chosen(arguments.stories, arguments.seed)
    desk = _desk(arguments)
    agent = [arguments.agent] if arguments.agent else default_agent()
    if desk is None:
        with tempfile.TemporaryDirectory(prefix="pledgewatch-sim-") as folder:
            try:
                require_agent(agent, Processes(Path(folder)))
            except BenchError as error:
                raise StoryError(str(error)) from None
    else:
        for story in stories:
            require_playable(story)
    orders = []
    for story in stories:
        rate = 1.0 if desk else min(story.speed, arguments.speed or story.speed)
        orders.append(Order(story, tuple(agent), rate, arguments.keep, desk))
    results = []
    with leaving_tidily():
        for result in _played(orders, 1 if desk else max(1, arguments.jobs)):
            results.append(result)
            _say(result, len(results), len(orders))
    names = [story.name for story in stories]
    results.sort(key=lambda each: names.index(each.story.name))
    _write_reports(arguments, results)
    failed = sum(not each.passed for each in results)
    waits = sum(each.verdict.waits for each in results)
    waiting = f"; {waits} expectations wait for what is not built yet" if waits else ""
    print(f"{len(results) - failed} of {len(results)} stories passed{waiting}", file=sys.stderr)
    return FAILED if failed else PASSED


def play(order: Order) -> Result:
    """One story from begin to end, in this process; what goes wrong with the bench is told in the result."""
    story = order.story if order.desk is None else replace(order.story, start=datetime.now(UTC).replace(microsecond=0))
    with _folder(order) as home:
        begin_s = -lead_s(story, order.rate)
        clock = StoryClock(begin_s)
        try:
            devices = Devices(story, story.start, begin_s)
            if order.desk is None:
                rig: LocalRig | DeskRig = LocalRig(story, home, list(order.agent), clock)
            else:
                rig = DeskRig(order.desk, story)
            try:
                evidence = Player(story, devices, rig, clock, order.rate).play()
            finally:
                rig.close()
        except (BenchError, StoryError) as error:
            return Result(story, Evidence(), Verdict(()), str(error))
        except Exception:  # noqa: BLE001 - one story must not end the others; the trace is in the report
            return Result(story, Evidence(), Verdict(()), traceback.format_exc(limit=-4))
        return Result(story, evidence, judge(story, evidence))


def _played(orders: list[Order], jobs: int) -> Iterator[Result]:
    if jobs == 1 or len(orders) == 1:
        yield from map(play, orders)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(orders)), mp_context=context, initializer=leave_with_parent) as pool:
        # the longest first, so that none is left alone at the end
        left: set[Future[Result]] = {
            pool.submit(play_or_leave, order)
            for order in sorted(orders, key=lambda each: -each.story.duration_s / each.rate)
        }
        try:
            while left:
                done, left = wait(left, return_when=FIRST_COMPLETED)
                for each in done:
                    yield each.result()
        except BaseException:
            for process in multiprocessing.active_children():
                process.terminate()
            pool.shutdown(cancel_futures=True)
            raise


def play_or_leave(order: Order) -> Result:
    """As `play`; a process that is told to leave tidies its story up and takes no other."""
    try:
        return play(order)
    except SystemExit as leaving:
        os._exit(int(leaving.code or 0))  # the pool would only note it, and hand out the next story


@contextmanager
def _folder(order: Order) -> Iterator[Path]:
    if order.keep is not None:
        home = order.keep.absolute() / order.story.name
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        yield home
        return
    with tempfile.TemporaryDirectory(prefix="pledgewatch-sim-") as folder:
        yield Path(folder)


def _desk(arguments: argparse.Namespace) -> Desk | None:
    given = {name: getattr(arguments, name) for name in ("gnss", "obd", "unit", "broker", "observer")}
    if not any(given.values()):
        return None
    if not (given["gnss"] or given["obd"]) or not given["unit"] or not given["observer"]:
        raise StoryError(
            "a physical unit needs --gnss or --obd, --unit NAME, and --observer DIR (and perhaps --broker)"
        )
    if arguments.agent or arguments.speed:
        raise StoryError("--agent and --speed are for an agent on this machine; a physical unit is played in real time")
    return Desk(given["gnss"], given["obd"], given["unit"], given["broker"], given["observer"])


def _say(result: Result, number: int, of: int) -> None:
    """Verdicts for a person, one line each."""
    story, evidence = result.story, result.evidence
    mark = "passed" if result.passed else "FAILED"
    skipped_s = sum(to_s - from_s for from_s, to_s in evidence.skipped)
    took = f"{evidence.wall_s:.0f} s" + (f", {span(skipped_s)} skipped" if skipped_s else "")
    waits = f", {result.verdict.waits} wait" if result.verdict.waits else ""
    print(f"[{number}/{of}] {mark}  {story.name}  ({took}{waits})", file=sys.stderr, flush=True)
    for finding in result.verdict.findings:
        if finding.outcome is Outcome.FAILED:
            print(f"        {finding.what}: {finding.why}", file=sys.stderr, flush=True)
    if result.trouble:
        print("        " + result.trouble.strip().replace("\n", "\n        "), file=sys.stderr, flush=True)


def _write_reports(arguments: argparse.Namespace, results: list[Result]) -> None:
    for path, text in (
        (arguments.junit, junit_report if arguments.junit else None),
        (arguments.html, html_report if arguments.html else None),
    ):
        if path is not None and text is not None:
            try:
                path.write_text(text(results), encoding="utf-8")
            except OSError as error:
                raise StoryError(f"cannot write {path}: {error.strerror}") from None
