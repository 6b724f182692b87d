"""Where a live stream has got to. Pure: rows in, what to send out."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from server.store.vehicle_rows import VehicleRow
from server.web.vehicle_status import Status, status_of

# Two workers may commit in another order than they took the time, so a stream that catches up looks this far back.
LOOK_BACK_MS = 10_000


@dataclass(frozen=True, slots=True)
class Message:
    """One server-sent event."""

    event: str
    id: str
    data: dict[str, Any]


@dataclass(slots=True)
class FleetLooks:
    """What a browser has been sent of each vehicle; its cursor is the newest arrival (UTC ms)."""

    since_ms: int | None
    _sent: dict[int, tuple[int | None, Status]] = field(default_factory=dict)
    _is_first: bool = True

    @classmethod
    def after(cls, cursor: str) -> "FleetLooks":
        """Continue at a cursor; where there is none, everything is news."""
        return cls(int(cursor) if cursor.isascii() and cursor.isdigit() and len(cursor) < 16 else None)

    @property
    def cursor(self) -> str:
        """The id of the next message."""
        return str(self.since_ms or 0)

    def is_news(self, row: VehicleRow, now_ms: int) -> bool:
        """Whether the browser does not have this yet."""
        seen = (row.arrived_ms, status_of(row, now_ms))
        if row.id in self._sent or self.since_ms is None or not self._is_first:
            return self._sent.get(row.id) != seen
        return row.arrived_ms is not None and row.arrived_ms >= self.since_ms - LOOK_BACK_MS

    def changed(self, rows: Iterable[VehicleRow], now_ms: int) -> list[VehicleRow] | None:
        """The rows to send now, noted as sent; None where there is nothing to say. The first look always speaks."""
        found = []
        newest_ms = self.since_ms
        for row in rows:
            if self.is_news(row, now_ms):
                found.append(row)
            self._sent[row.id] = (row.arrived_ms, status_of(row, now_ms))
            if row.arrived_ms is not None:
                newest_ms = max(newest_ms or 0, row.arrived_ms)
        speaks = bool(found) or self._is_first
        self.since_ms, self._is_first = newest_ms or 0, False
        return found if speaks else None


@dataclass(frozen=True, slots=True)
class VehicleCursor:
    """The newest track point that a browser has (UTC ms), and how many samples the vehicle had then; None: not said."""

    point_ms: int | None = None
    samples: int | None = None

    @classmethod
    def parse(cls, text: str) -> "VehicleCursor":
        """`point` or `point.samples`; anything else counts as not said."""
        parts = text.split(".")
        if len(parts) > 2 or not all(part.isascii() and part.isdigit() and len(part) < 16 for part in parts):
            return cls()
        return cls(int(parts[0]), int(parts[1]) if len(parts) == 2 else None)

    def __str__(self) -> str:
        return f"{self.point_ms or 0}.{self.samples or 0}"

    def next_point_ms(self, row: VehicleRow) -> int:
        """From which event time on points are new. A browser that has none draws only what comes from now on."""
        if self.point_ms is not None:
            return self.point_ms + 1
        newest_ms = None if row.state is None else row.state.fix_time_ms
        return 0 if newest_ms is None else newest_ms + 1

    def history_grew(self, row: VehicleRow, points: int, oldest_ms: int) -> bool:
        """Whether samples came that are not among the new points: a backlog, or more than fits."""
        samples = 0 if row.state is None else row.state.samples
        if self.point_ms is not None and 0 < self.point_ms < oldest_ms and self.samples != samples:
            return True
        return self.samples is not None and samples - self.samples > points

    def moved(self, row: VehicleRow, newest_point_ms: int | None) -> "VehicleCursor":
        """The cursor after these points were sent."""
        samples = 0 if row.state is None else row.state.samples
        return VehicleCursor(newest_point_ms or self.next_point_ms(row) - 1, samples)
