"""What the unit writes to its card: on an ext4 of its own (a loop device), and as changed blocks of its files.

The kernel's write_bytes of a process is no measure here: since ext4 has large folios it counts a whole folio (128 KiB)
for each kilobyte that is written over in it. So the driving unit's folder lies on a small file system of its own, with
the mount options that docs/running-a-unit.md advises, and the sectors that reached its device are counted, the file
system's own journal included. Where that may not be mounted (without root), the 4 KiB blocks of the unit's files whose
content changed between two looks are counted instead: the least that a card must write.
"""

import os
import subprocess
from pathlib import Path

_MIB = 192
_SECTOR_BYTES = 512  # of /sys/block/*/stat, whatever the device's own are
_WRITTEN = 6  # its field: sectors written
_BLOCK = 4096


class Card:
    """An ext4 of its own under `folder`. The mount ends with the benchmark's mount namespace, or with `close`."""

    def __init__(self, folder: Path, image: Path) -> None:
        """Raises OSError where it cannot be made or mounted."""
        self._folder = folder
        folder.mkdir()
        with image.open("wb") as file:
            file.truncate(_MIB << 20)
        _run("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
        _run("mount", "-o", "loop,noatime,commit=60", str(image), str(folder))
        (folder / "lost+found").rmdir()
        device = folder.stat().st_dev
        self._stat = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat")

    def written_bytes(self) -> int:
        """By now, after everything that waits was written."""
        _run("sync", "-f", str(self._folder))
        return int(self._stat.read_text().split()[_WRITTEN]) * _SECTOR_BYTES

    def close(self) -> None:
        """Unmount."""
        _run("umount", "--lazy", str(self._folder))


class Blocks:
    """Counts changed blocks of the files in a folder, sockets and SQLite's shared memory left out."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._before = self._read()
        self.written_bytes = 0

    def look(self) -> None:
        """Call it more often than the unit commits."""
        now = self._read()
        self.written_bytes += sum(changed_bytes(self._before.get(name, b""), data) for name, data in now.items())
        self._before = now

    def _read(self) -> dict[str, bytes]:
        names = (each for each in self._folder.iterdir() if each.is_file() and not each.name.endswith("-shm"))
        return {each.name: each.read_bytes() for each in names}


def changed_bytes(before: bytes, after: bytes) -> int:
    """Of the 4 KiB blocks of `after`, those that are not as they were."""
    if before == after:
        return 0
    starts = range(0, len(after), _BLOCK)
    return _BLOCK * sum(after[at : at + _BLOCK] != before[at : at + _BLOCK] for at in starts)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
