"""Tracebacks are found wherever they stand in a log."""

from firmware_sim.bench.tracebacks import tracebacks

LOG = """2026 INFO all is well
2026 ERROR edge_agent.agent: it failed
Traceback (most recent call last):
  File "/a/agent.py", line 12, in run
    self.go()
  File "/a/go.py", line 3, in go
    raise ValueError("no")
ValueError: no
2026 INFO on
Exception in thread: Traceback (most recent call last):
  File "/a/b.py", line 1, in c"""


def test_each_with_its_place_and_error() -> None:
    assert tracebacks(LOG.splitlines()) == [
        'File "/a/go.py", line 3, in go: ValueError: no',
        'File "/a/b.py", line 1, in c: the log ends within it',
    ]
    assert tracebacks(["all is well"]) == []
