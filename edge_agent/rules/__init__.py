"""Local events: what the unit concludes in the car, each by one small pure rule. `table.py` is the list."""

from edge_agent.rules.seen import LocalEvent, Seen
from edge_agent.rules.table import DETAILS, KINDS, RULES, WORDS, EventSettings, Watch

__all__ = ["DETAILS", "KINDS", "RULES", "WORDS", "EventSettings", "LocalEvent", "Seen", "Watch"]
