"""What came of one story, as it goes from the process that played it to the reports."""

from dataclasses import dataclass

from firmware_sim.bench.evidence import Evidence
from firmware_sim.bench.judge import Verdict
from firmware_sim.story.schema import Story


@dataclass(frozen=True, slots=True)
class Result:
    """One story; `trouble` where the bench itself could not play it."""

    story: Story
    evidence: Evidence
    verdict: Verdict
    trouble: str = ""

    @property
    def passed(self) -> bool:
        """All findings passed or wait."""
        return not self.trouble and self.verdict.passed
