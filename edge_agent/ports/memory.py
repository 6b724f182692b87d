"""Where each device was last found, on disk: a hint of where to look first, never a proof."""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from edge_agent.ports.plan import Remembered
from edge_agent.ports.probe import Role

_log = logging.getLogger(__name__)


class Memory:
    """One small JSON file, replaced as a whole, and only when something changed: cards wear out."""

    def __init__(self, path: Path) -> None:
        """What is not there or damaged is forgotten: then all ports are looked at."""
        self._path = path
        self._places: dict[Role, Remembered] = {}
        try:
            self._places = _places(json.loads(path.read_bytes()))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, RecursionError) as error:
            _log.warning("%s cannot be read: %s", path, error)

    def get(self, role: Role) -> Remembered | None:
        return self._places.get(role)

    def put(self, role: Role, place: Remembered) -> None:
        """Remember; a disk that does not take it is logged, and costs a longer search after the next start."""
        if self._places.get(role) == place:
            return
        self._places[role] = place
        data = json.dumps({str(each): asdict(place) for each, place in sorted(self._places.items())}).encode()
        fresh = self._path.with_name(f".{self._path.name}.new")
        try:
            with fresh.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
            _sync_folder(self._path.parent)
        except OSError as error:
            _log.warning("%s cannot be written: %s", self._path, error)


def _places(said: object) -> dict[Role, Remembered]:
    places: dict[Role, Remembered] = {}
    for role in Role:
        match said.get(role) if isinstance(said, Mapping) else None:
            case {"port": str(port), "baud": int(baud), "location": str(location)} if 0 < baud <= 4_000_000:
                places[role] = Remembered(port, baud, location)
    return places


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
