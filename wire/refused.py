"""Why bytes from the other side are refused: one exception, one table of reasons.

The reasons are counted, stored beside quarantined bytes and shown to people, so they are short and stable.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why a batch or a receipt was refused."""

    TOO_LARGE = "too_large"  # over MAX_SEALED_BYTES, not even parsed
    MALFORMED = "malformed"  # not the schema, or values that contradict each other
    UNKNOWN_VERSION = "unknown_version"  # sealed by a newer unit or server
    UNKNOWN_UNIT = "unknown_unit"  # nobody enrolled this unit, or it was retired
    WRONG_TOPIC = "wrong_topic"  # not a topic of the table, or the wrong bucket for its unit
    OTHER_UNIT = "other_unit"  # the content names another unit than the topic it came on
    SIGNATURE = "signature"  # not signed by the key that is pinned for the sender
    INFLATES_TOO_FAR = "inflates_too_far"  # body over MAX_BODY_BYTES
    OLD_BOOT = "old_boot"  # a boot that the server knows to be closed
    BROKEN_LINK = "broken_link"  # does not continue the batch before it
    SAME_IDENTITY_OTHER_BYTES = "same_identity_other_bytes"  # an alarm: two batches claim one (unit, boot, sequence)
    SERVER_FAULT = "server_fault"  # our own error: the bytes are kept and can be taken in once it is mended


class RefusedError(ValueError):
    """Bytes that were refused.

    Attributes:
        reason: what is counted.
        detail: what a person may want to know besides; never needed to act.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail
