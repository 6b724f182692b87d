"""What a vehicle is doing, in one word, from what was last heard of it.

Nothing here says "offline": a sleeping unit is silent on purpose. After QUIET_AFTER_MS the word is about what was last
known, and says so.
"""

from enum import StrEnum

from server.store.vehicle_rows import VehicleRow
from server.web.texts import LazyText, lazy_gettext

QUIET_AFTER_MS = 10 * 60 * 1000
# Speed over ground by the receiver wanders below this while a car stands.
MOVING_MPS = 1.5


class Status(StrEnum):
    """What the page says of a vehicle."""

    NO_UNIT = "no_unit"
    NEVER_HEARD = "never_heard"
    NO_POSITION = "no_position"
    MOVING = "moving"
    IDLING = "idling"
    STANDING = "standing"
    QUIET_MOVING = "quiet_moving"
    QUIET_STANDING = "quiet_standing"


STATUS_TEXTS: dict[Status, LazyText] = {
    Status.NO_UNIT: lazy_gettext("No unit"),
    Status.NEVER_HEARD: lazy_gettext("Not heard yet"),
    Status.NO_POSITION: lazy_gettext("No position yet"),
    Status.MOVING: lazy_gettext("Moving"),
    Status.IDLING: lazy_gettext("Engine on, standing"),
    Status.STANDING: lazy_gettext("Standing"),
    Status.QUIET_MOVING: lazy_gettext("Quiet, was moving"),
    Status.QUIET_STANDING: lazy_gettext("Quiet, was standing"),
}

STATUS_TONES: dict[Status, str] = {
    Status.MOVING: "good",
    Status.IDLING: "good",
    Status.STANDING: "calm",
    Status.QUIET_MOVING: "warn",
    Status.QUIET_STANDING: "dim",
    Status.NO_POSITION: "warn",
    Status.NEVER_HEARD: "dim",
    Status.NO_UNIT: "dim",
}


def status_of(row: VehicleRow, now_ms: int) -> Status:
    """The status at `now_ms` (UTC ms)."""
    state = row.state
    if state is None or row.arrived_ms is None:
        return Status.NO_UNIT if row.unit is None else Status.NEVER_HEARD
    if state.fix_time_ms is None:
        return Status.NO_POSITION
    was_moving = (state.speed_mps or 0.0) >= MOVING_MPS
    # Heard just now is not enough: what arrives may be a backlog of yesterday's drive.
    if now_ms - min(row.arrived_ms, state.fix_time_ms) > QUIET_AFTER_MS:
        return Status.QUIET_MOVING if was_moving else Status.QUIET_STANDING
    if was_moving:
        return Status.MOVING
    return Status.IDLING if (state.engine_rpm or 0.0) > 0 else Status.STANDING
