"""Vehicle identification numbers: ISO 3779, and the check digit that GB 16735 makes compulsory in China. Pure."""

_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)  # by position; the check digit itself has none
_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"  # without I, O and Q
_VALUES = {str(digit): digit for digit in range(10)} | dict(
    zip(_LETTERS, (*range(1, 9), *range(1, 6), 7, 9, *range(2, 10)), strict=True)
)


def vin_problem(vin: str) -> str | None:
    """What is wrong with a VIN, in words, or None."""
    if len(vin) != 17 or any(letter not in _VALUES for letter in vin):
        return "a VIN has 17 characters out of 0-9 and A-Z without I, O and Q"
    expected = vin_check_digit(vin)
    return None if vin[8] == expected else f"its check digit (9th character) should be {expected}"


def vin_check_digit(vin: str) -> str:
    """The right 9th character for a VIN, whatever stands there."""
    total = sum(_VALUES[letter] * weight for letter, weight in zip(vin, _WEIGHTS, strict=True))
    return "0123456789X"[total % 11]


# LSV is a Shanghai maker's code, the rest is made up. It ends in characters that python-OBD's own VIN decoder strips.
DEFAULT_VIN = "LSVPW5000T2000001"
