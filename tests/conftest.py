"""Options and fixtures of the whole suite."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parents[1]
SERVER_WHOLE = ("web/test_browser", "test_mosquitto", "test_workers")
# Whole programs at work: brokers, servers, agents, browsers. They take longest, so they begin first (a worker that has
# nothing left takes over what is short), and a machine that stands still for seconds may fail them once: they get one
# more try, which the summary tells.
WHOLE = ("tests/hil", "tests/journey", "tests/soak", *(f"tests/server/{name}" for name in SERVER_WHOLE))
# Machines are shared and noisy: a property fails because it is false, never because an example took long.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    default = os.environ.get("PLEDGEWATCH_DATA", str(ROOT.parent / "shared" / "data"))
    parser.addoption("--data", default=default, help="folder with recorded data (telemetry/, market/)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def is_whole(item: pytest.Item) -> bool:
        return item.path.relative_to(ROOT).as_posix().startswith(WHOLE)

    for item in filter(is_whole, items):
        item.add_marker(pytest.mark.flaky(reruns=1))
    items.sort(key=lambda item: not is_whole(item))


@pytest.fixture(scope="session")
def telemetry(request: pytest.FixtureRequest) -> Path:
    """Recorded telemetry, which is no part of the project; tests that ask for it are skipped where it is absent."""
    folder = Path(request.config.getoption("--data"))
    if not (folder / "telemetry").is_dir():
        pytest.skip(f"no recorded data in {folder} (--data DIR or PLEDGEWATCH_DATA names another folder)")
    return folder / "telemetry"
