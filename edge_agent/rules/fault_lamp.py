"""mil_on, mil_off: the engine's fault lamp (malfunction indicator lamp) was lit or went dark. Pure.

SAE J1979 service 01 PID 01 tells the lamp and the number of confirmed codes in one answer, and a lit lamp has a code.
A lit lamp with no code is what a damaged answer or a misread log looks like, so it has to outlast an answer's validity
(120 s, `car/readings.py`) and thereby be said twice.
"""

from edge_agent.rules.lasting import Switch
from edge_agent.rules.seen import LocalEvent, Seen

AFTER_S = 5.0
WITHOUT_CODE_AFTER_S = 150.0
MOST_CODES_TOLD = 20


class FaultLamp:
    """State: whether the lamp is lit, None before it was known."""

    name = "fault_lamp"

    def __init__(self) -> None:
        self._lit = Switch()

    def step(self, seen: Seen) -> LocalEvent | None:
        """The event, when it flips; a lamp that was dark from the beginning is none."""
        sample = seen.sample
        lit = None if sample is None or sample.mil_on is None else bool(sample.mil_on)
        codes = 0 if sample is None else sample.dtc_count
        doubtful = lit and codes == 0 and not seen.dtc_codes
        was = self._lit.on
        flipped = self._lit.step(lit, WITHOUT_CODE_AFTER_S if doubtful else AFTER_S, seen.mono_s)
        if not flipped or (was is None and not lit):
            return None
        if not lit:
            return LocalEvent("mil_off", seen.mono_s, {}, 0.0)
        details = {} if codes is None else {"dtc_count": str(codes)}
        if seen.dtc_codes:
            details["codes"] = " ".join(seen.dtc_codes[:MOST_CODES_TOLD])
        return LocalEvent("mil_on", seen.mono_s, details)

    def to_state(self) -> object:
        return self._lit.on

    def restore(self, state: object) -> None:
        self._lit.restore(state)
