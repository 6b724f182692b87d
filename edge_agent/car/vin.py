"""Vehicle identification numbers: the check digit, and whether this is still the car that the unit was bound to. Pure.

ISO 3779 gives a VIN seventeen characters without I, O and Q. Its ninth is a check digit where the law asks for one: in
North America (49 CFR 565) and in China (GB 16735); elsewhere makers put anything there.
"""

from dataclasses import dataclass, replace
from enum import Enum

_LENGTH = 17
_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)  # 49 CFR 565 table IV; GB 16735 annex A
_VALUES = {
    **{str(digit): digit for digit in range(10)},
    **dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ", (1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 7, 9, *range(2, 10)), strict=True)),
}
_CHECKED_REGIONS = "12345L"  # first character: United States, Canada, Mexico; China
_SERIAL = 8  # the last eight characters (ISO 3779 indicator section: year, plant, number) tell one car from another
_MOST_LOST = 3  # bytes that known clones lose at the beginning of an answer
_ANSWERS = 2  # equal ones, before a car is called different


class Problem(Enum):
    """Why a text is no VIN."""

    LENGTH = "length"
    CHARACTER = "character"
    CHECK_DIGIT = "check_digit"


def check_digit(vin: str) -> str:
    """The right ninth character of a VIN of valid characters, whatever stands there."""
    total = sum(_VALUES[letter] * weight for letter, weight in zip(vin, _WEIGHTS, strict=True))
    return "0123456789X"[total % 11]


def check(vin: str, applies: bool | None = None) -> Problem | None:
    """What is wrong with `vin`. `applies`: whether its check digit counts; None: by its first character, the region."""
    if len(vin) != _LENGTH:
        return Problem.LENGTH
    if any(letter not in _VALUES for letter in vin):
        return Problem.CHARACTER
    counts = vin[0] in _CHECKED_REGIONS if applies is None else applies
    return Problem.CHECK_DIGIT if counts and vin[8] != check_digit(vin) else None


class Verdict(Enum):
    """Whether the car is the bound one."""

    UNKNOWN = "unknown"  # nothing heard yet, or nothing that can be told from a mutilated answer
    SAME = "same"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class VinWatch:
    """Compares the car's answers with the bound VIN; each step returns the next state.

    Clones mutilate: they lose the first bytes, shift or garble. An answer that such a fault could make of any
    VIN tells nothing; only a whole VIN, twice and equal, is another car.
    """

    bound: str | None  # None: the unit is not bound yet
    verdict: Verdict = Verdict.UNKNOWN
    other: str = ""  # the last whole VIN that is not the bound one
    times: int = 0  # that it was answered in a row

    def heard(self, answer: str) -> "VinWatch":
        """With one more answer of the car: a VIN, or what is left of one."""
        if self.bound is None:
            return self
        if answer == self.bound or (_SERIAL <= len(answer) < _LENGTH and self.bound.endswith(answer)):
            return VinWatch(self.bound, Verdict.SAME)
        if self._is_mutilated(answer):
            return self
        times = self.times + 1 if answer == self.other else 1
        verdict = Verdict.DIFFERENT if times >= _ANSWERS else self.verdict
        return replace(self, verdict=verdict, other=answer, times=min(times, _ANSWERS))

    def _is_mutilated(self, answer: str) -> bool:
        bound = self.bound or ""
        # a maker whose numbers have a true check digit gives one to every car
        if check(answer, applies=True if check(bound, applies=True) is None else None):
            return True
        return any(
            answer[:-lost] == bound[lost:] or answer[lost:] == bound[:-lost] for lost in range(1, _MOST_LOST + 1)
        )
