"""A small file that is replaced whole: after a power cut it holds the old text or the new one, never a part."""

import os
from pathlib import Path


def replace_durably(path: Path, text: str) -> None:
    """Write `text` (UTF-8) beside `path` and rename it over; returns once both are on the card. Raises OSError."""
    beside = path.with_suffix(".new")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # the renaming itself, ext4 keeps it for up to 5 s otherwise
    finally:
        os.close(descriptor)
