"""A disk of a unit's own that can be filled: a small tmpfs where mounting is allowed, and a limit on what files take.

A full tmpfs takes nothing new, but the outbox goes on for a while in what it has already. Under the limit the very next
write fails, as on a card that gives up.
"""

import contextlib
import resource
import subprocess
from pathlib import Path

_SIZE = "16m"
_FILLER = "filler"
_BLOCK = 1 << 16
# SIGXFSZ is ignored by Python, so a write beyond the limit fails with EFBIG.
_LIMIT_BYTES = 4096


class Disk:
    """`folder` becomes the disk's only folder; `kind` says which sort it is."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder, self._is_limited = folder, False
        command = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE},mode=700", "tmpfs", str(folder)]
        with contextlib.suppress(FileNotFoundError):
            self.kind = "limit"
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                self.kind = "tmpfs"

    def fill(self, process: int | None, *, by_limit: bool = False) -> None:
        """Nothing more can be written by `process`, which works here: not one block is left, or no write succeeds."""
        self._is_limited = by_limit or self.kind == "limit"
        if not self._is_limited:
            with contextlib.suppress(OSError), (self._folder / _FILLER).open("ab", buffering=0) as file:
                while file.write(bytes(_BLOCK)):
                    pass
        self.mind(process)

    def empty(self, process: int | None) -> None:
        """There is room again."""
        self._is_limited = False
        (self._folder / _FILLER).unlink(missing_ok=True)
        self.mind(process)

    def mind(self, process: int | None) -> None:
        """A process was started, or the disk has changed: limit it, or no more."""
        if process is not None:
            _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(process, resource.RLIMIT_FSIZE, (_LIMIT_BYTES if self._is_limited else most, most))

    def close(self) -> None:
        if self.kind == "tmpfs":
            subprocess.run(["umount", "--lazy", str(self._folder)], check=True)
