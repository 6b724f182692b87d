"""Commands to units in words: kinds, states, outcomes, and why one was not given or not carried out."""

from server.commanding import Flaw, State
from server.web.texts import LazyText, lazy_gettext
from wire.commands import Outcome, Refusal

KIND_TEXTS: dict[str, LazyText] = {
    "locate": lazy_gettext("Locate now"),
    "follow": lazy_gettext("Follow"),
    "cancel_follow": lazy_gettext("End following"),
    "recall": lazy_gettext("Recall a window"),
    "status": lazy_gettext("Tell status"),
    "set": lazy_gettext("Change a setting"),
}
PARAMETER_TEXTS: dict[str, LazyText] = {
    "minutes": lazy_gettext("minutes"),
    "every_s": lazy_gettext("seconds between positions"),
    "from_ms": lazy_gettext("from"),
    "to_ms": lazy_gettext("to"),
    "section": lazy_gettext("section"),
    "name": lazy_gettext("setting"),
    "value": lazy_gettext("value"),
}
STATE_TEXTS: dict[State, LazyText] = {
    State.WAITING: lazy_gettext("waiting to be sent"),
    State.SENT: lazy_gettext("sent, no answer yet"),
    State.ANSWERED: lazy_gettext("answered"),
    State.EXPIRED: lazy_gettext("expired without an answer"),
}
OUTCOME_TEXTS: dict[str, LazyText] = {
    Outcome.DONE: lazy_gettext("carried out"),
    Outcome.REFUSED: lazy_gettext("refused by the unit"),
    Outcome.NOT_UNDERSTOOD: lazy_gettext("not understood: the unit's software is older"),
    Outcome.FAILED: lazy_gettext("failed"),
    Outcome.INTERRUPTED: lazy_gettext("interrupted by a power cut: carried out once or not at all"),
}
REFUSAL_TEXTS: dict[str, LazyText] = {
    Refusal.EXPIRED: lazy_gettext("it came too late"),
    Refusal.TOO_LONG_LIVED: lazy_gettext("it was good for too long"),
    Refusal.PARAMETERS: lazy_gettext("its details are out of bounds"),
    Refusal.TOO_MANY: lazy_gettext("the unit holds too many commands"),
    Refusal.FORGOTTEN: lazy_gettext("the unit had lost its memory of earlier commands"),
}
FLAW_TEXTS: dict[Flaw, LazyText] = {
    Flaw.KIND: lazy_gettext("There is no such command."),
    Flaw.PARAMETERS: lazy_gettext("Following takes 1 to 60 minutes."),
    Flaw.REASON: lazy_gettext("Say why in 4 to 300 characters: the answer tells where a person is."),
    Flaw.LIFE: lazy_gettext("A command is good for at most 7 days."),
    Flaw.UNIT: lazy_gettext("No active unit of that name sits in this vehicle."),
    Flaw.TOO_MANY_OPEN: lazy_gettext("This unit has too many commands without an answer; let them expire first."),
}


def order_text(kind: str, parameters: dict[str, str]) -> str:
    """The kind with its parameters; what is not known by its own name."""
    told = ", ".join(f"{PARAMETER_TEXTS.get(name, name)} {value}" for name, value in parameters.items())
    text = str(KIND_TEXTS.get(kind, kind))
    return f"{text} ({told})" if told else text


def outcome_text(outcome: str, answer: str) -> str:
    """What the unit answered; the first word of its reason is one that we know, more of it follows a colon."""
    text = str(OUTCOME_TEXTS.get(outcome, outcome))
    if not answer:
        return text
    word, colon, more = answer.partition(":")
    reason = str(REFUSAL_TEXTS.get(word, word))
    return f"{text} ({reason}{colon}{more})"
