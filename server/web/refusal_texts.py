"""Why bytes were refused, in words: what it means, and what to do about it."""

from dataclasses import dataclass

from server.web.texts import LazyText, lazy_gettext
from wire.refused import Reason


@dataclass(frozen=True, slots=True)
class RefusalText:
    """A reason for people."""

    title: LazyText
    advice: LazyText


REFUSAL_TEXTS: dict[Reason, RefusalText] = {
    Reason.TOO_LARGE: RefusalText(
        lazy_gettext("Too large"),
        lazy_gettext("Longer than any batch may be. Not from a unit of ours, or its software is faulty."),
    ),
    Reason.MALFORMED: RefusalText(
        lazy_gettext("Unreadable"),
        lazy_gettext("The content contradicts itself or is damaged. Update the unit; if it goes on, exchange it."),
    ),
    Reason.UNKNOWN_VERSION: RefusalText(
        lazy_gettext("Newer format"),
        lazy_gettext("The unit is newer than this server. Update the server; the unit keeps its data until then."),
    ),
    Reason.UNKNOWN_UNIT: RefusalText(
        lazy_gettext("Unknown unit"),
        lazy_gettext("Nobody enrolled this unit, or it was retired."),
    ),
    Reason.WRONG_TOPIC: RefusalText(
        lazy_gettext("Wrong topic"),
        lazy_gettext("Sent to an address that no unit uses. Check who has access to the broker."),
    ),
    Reason.OTHER_UNIT: RefusalText(
        lazy_gettext("Another unit's name"),
        lazy_gettext(
            "The content names another unit than its sender. Someone may be passing it off; inspect the unit."
        ),
    ),
    Reason.SIGNATURE: RefusalText(
        lazy_gettext("Signature does not hold"),
        lazy_gettext("Not signed with the unit's own key. Someone may be forging its data; inspect the unit."),
    ),
    Reason.INFLATES_TOO_FAR: RefusalText(
        lazy_gettext("Unpacks too far"),
        lazy_gettext("Small outside, huge inside: made to do harm, or faulty software. Inspect the unit."),
    ),
    Reason.OLD_BOOT: RefusalText(
        lazy_gettext("Closed outbox"),
        lazy_gettext("Data of an outbox that the unit had given up. A copied memory card does this; inspect the unit."),
    ),
    Reason.BROKEN_LINK: RefusalText(
        lazy_gettext("Does not continue"),
        lazy_gettext("The batch does not follow the one before it. Data may have been altered; inspect the unit."),
    ),
    Reason.SAME_IDENTITY_OTHER_BYTES: RefusalText(
        lazy_gettext("Two contents, one identity"),
        lazy_gettext("Two different batches claim the same number. The unit may have been cloned; inspect it at once."),
    ),
    Reason.SERVER_FAULT: RefusalText(
        lazy_gettext("Server fault"),
        lazy_gettext(
            "Our own error. The data is kept and can be taken in once the fault is mended; tell the operator."
        ),
    ),
}


# What only a cloned unit, a copied card or a replay does: not bad data but somebody at work.
ALARMS = (Reason.SAME_IDENTITY_OTHER_BYTES, Reason.OLD_BOOT)


def is_alarm(reason: str) -> bool:
    """Whether one identity was in two places, or had two contents."""
    return reason in ALARMS


def refusal_text(reason: str) -> tuple[str, str]:
    """Title and advice of a stored reason; an unknown one by its name."""
    try:
        text = REFUSAL_TEXTS[Reason(reason)]
    except (KeyError, ValueError):
        return reason, ""
    return str(text.title), str(text.advice)
