"""The recorded drives that a story plays: read once with the story, so that whoever plays it needs no file."""

import gzip
import zlib
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from firmware_sim.obd_table import TableError, read_looks
from firmware_sim.recording import RecordingError as CaptureError
from firmware_sim.recording import is_capture, read_capture
from firmware_sim.roads.recorded import Look, RecordingError, looks_of_nmea, recorded
from firmware_sim.story.schema import Act, Story, StoryError


def with_recordings(story: Story, folder: Path) -> Story:
    """The story, its `replay` acts with their `looks`; a path in it is relative to `folder`.

    Raises:
        StoryError: a recording cannot be read, nothing in it moves, or it ends before `from_s`.
    """
    return replace(story, acts=tuple(_with_looks(act, story.name, folder) for act in story.acts))


def _with_looks(act: Act, story: str, folder: Path) -> Act:
    if act.do != "replay":
        return act
    path = folder / str(act.more["recording"])
    where = f"{story}.toml, act {act.name!r}: {path}"
    try:
        looks = tuple(look for look in _looks(path, act.more.get("trip")) if look.t_s >= float(act.more["from_s"]))
        next(iter(recorded(looks)))
    except OSError as error:
        raise StoryError(f"{where}: cannot be read: {error.strerror or error}") from None
    except (TableError, RecordingError, CaptureError) as error:
        raise StoryError(f"{where}: {error}") from None
    return replace(act, more={**act.more, "looks": looks})


@lru_cache(maxsize=4)
def _looks(path: Path, trip: str | None) -> tuple[Look, ...]:
    """Of an NMEA log, a capture of a receiver's port (both perhaps gzipped), or a Parquet table (.parquet)."""
    if path.suffix == ".parquet":
        return tuple(read_looks(path, trip))
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error):
            raise RecordingError("it is no whole gzip file") from None
    if is_capture(data):
        data = b"".join(piece.data for piece in read_capture(data).pieces if piece.from_device)
    return tuple(looks_of_nmea(data.splitlines()))
