"""From what was measured in minutes to a day on the wire, and small statistics. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from wire.topics import BATCH

_TCP_IP_BYTES = 52  # IPv4 20, TCP 20, timestamps 12
_DRIVING_S, _PARKED_S = 2 * 3600, 22 * 3600
_TRIPS = 2
_CONNECTS = 4  # assumption: the mobile network takes the connection away each six hours


@dataclass(frozen=True, slots=True)
class Measured:
    """IP-level bytes in both directions."""

    driving_bytes_per_s: float
    parked_bytes_per_cycle: float
    parked_cycle_s: float  # what a cycle lasts in the car: between two samples of a parked vehicle
    arrival_bytes: float  # from engine off until only parked cycles are left
    connect_bytes: float  # one connection lost and made again


@dataclass(frozen=True, slots=True)
class Day:
    """kB (1,000 bytes) a day, and of what."""

    driving_kb: float
    parked_kb: float
    trips_kb: float
    connects_kb: float

    @property
    def kb(self) -> float:
        """All of it."""
        return self.driving_kb + self.parked_kb + self.trips_kb + self.connects_kb


COMPOSITION = (
    f"{_DRIVING_S / 3600:g} h at the driving rate + {_PARKED_S / 3600:g} h of parked cycles + {_TRIPS} trips, each "
    f"with an arrival and a departure that costs as much + {_CONNECTS} connections lost and made again (assumption)"
)


def day_of(measured: Measured) -> Day:
    """2 h driving and 22 h parked."""
    return Day(
        _DRIVING_S * measured.driving_bytes_per_s / 1000,
        _PARKED_S / measured.parked_cycle_s * measured.parked_bytes_per_cycle / 1000,
        2 * _TRIPS * measured.arrival_bytes / 1000,
        _CONNECTS * measured.connect_bytes / 1000,
    )


def published_bytes(unit: str, payload: int) -> int:
    """MQTT 3.1.1 PUBLISH at QoS 1: type, remaining length (7 bits a byte), topic and its length, packet id, payload."""
    rest = 2 + len(BATCH.of(unit)) + 2 + payload
    length_bytes = 1 if rest < 1 << 7 else 2 if rest < 1 << 14 else 3
    return 1 + length_bytes + rest


def below_tls(packets: int) -> int:
    """What TCP and IP take of what was counted."""
    return packets * _TCP_IP_BYTES


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that `share` of all do not exceed; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * round(share * 1000) // 1000) - 1)]
