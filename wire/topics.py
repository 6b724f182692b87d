"""The topics between car and server: one table. docs/asyncapi.yaml is checked against it.

A unit's topics carry one of 256 buckets, a hash of its name, so that ingest workers can share out the fleet by plain
subscriptions while one unit's batches stay in order on every broker.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache

BUCKETS = 256
# Unit names stand in topics, certificates and access rules, so they hold nothing that any of those could take for more:
# no '/', '+', '#', '.', and never the name of a server (those carry a dot).
UNIT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{2,31}")


@dataclass(frozen=True, slots=True)
class Topic:
    """One kind of message. `direction` is "up" (car to server) or "down"."""

    name: str
    pattern: str
    direction: str
    qos: int
    retain: bool
    payload: str  # message in telemetry.proto, sealed

    def of(self, unit: str) -> str:
        """The topic of one unit. Raises ValueError for a name that a unit may not have."""
        if not UNIT_NAME.fullmatch(unit):
            raise ValueError(f"{unit!r} cannot be a unit's name: 3 to 32 letters, digits, '-' or '_'")
        return self.pattern.format(bucket=bucket_of(unit), unit=unit)

    def everywhere(self, bucket: str = "+") -> str:
        """The subscription for every unit, of one bucket or of all."""
        return self.pattern.format(bucket=bucket, unit="+")


BATCH = Topic("batch", "pw/1/{bucket}/{unit}/batch", "up", qos=1, retain=False, payload="BatchContent")
# A receipt that is lost costs a batch sent again; to acknowledge each one would cost as much as two receipts.
RECEIPT = Topic("receipt", "pw/1/{bucket}/{unit}/receipt", "down", qos=0, retain=False, payload="ReceiptContent")
COMMAND = Topic("command", "pw/1/{bucket}/{unit}/command", "down", qos=1, retain=False, payload="CommandContent")
TOPICS: tuple[Topic, ...] = (BATCH, RECEIPT, COMMAND)


@lru_cache(maxsize=65_536)
def bucket_of(unit: str) -> str:
    """The unit's bucket, "00" to "ff": the first byte of SHA-256 of its name."""
    return f"{hashlib.sha256(unit.encode()).digest()[0]:02x}"


def unit_of(topic: str) -> str | None:
    """The unit that a batch topic belongs to; None for a topic that is not in the table or has the wrong bucket."""
    parts = topic.split("/")
    if len(parts) != BATCH.pattern.count("/") + 1 or not UNIT_NAME.fullmatch(parts[3]):
        return None
    return parts[3] if topic == BATCH.of(parts[3]) else None
