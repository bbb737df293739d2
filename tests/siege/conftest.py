"""Options: duration, attacks, workers and the report's file."""

import resource
from pathlib import Path

import pytest

from siege.attacks.kinds import NAMES
from siege.report import HEAD

TIME_TO_FINISH = 600  # seconds, for the start, for the rest of a siege, and for hangs
DESCRIPTORS = 16_384
SUMMARY = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("siege")
    group.addoption("--siege-seconds", type=float, default=60.0, help="how long: 60")
    group.addoption(
        "--siege-only", default="", help=f"some of: {', '.join(NAMES)}; by default all of them"
    )
    group.addoption("--siege-each", action="store_true", help="each attack alone, one by one")
    group.addoption("--siege-workers", default="1,2", help="with how many workers: 1,2")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    option = metafunc.config.getoption
    if "workers" in metafunc.fixturenames:
        numbers = [int(number) for number in option("siege_workers").split(",")]
        metafunc.parametrize("workers", numbers)
    if "names" in metafunc.fixturenames:
        names = _asked(option("siege_only"))
        groups = [(name,) for name in names] if option("siege_each") else [names]
        metafunc.parametrize("names", groups, ids=lambda group: ", ".join(group[:3]))


def _asked(only: str) -> tuple[str, ...]:
    asked = tuple(name.strip() for name in only.split(",") if name)
    if unknown := set(asked) - set(NAMES):
        raise pytest.UsageError(f"no such attack: {unknown}; there are {NAMES}")
    return asked or NAMES


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            limit = 3 * config.getoption("siege_seconds") + TIME_TO_FINISH
            item.add_marker(pytest.mark.timeout(limit))


@pytest.fixture
def summary(pytestconfig: pytest.Config) -> list[str]:
    """A line for each course; all are shown after the run."""
    return pytestconfig.stash.setdefault(SUMMARY, [])


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if lines := config.stash.get(SUMMARY, []):
        terminalreporter.section("siege")
        terminalreporter.write_line("\n".join([HEAD, *lines]))


@pytest.fixture(scope="session", autouse=True)
def _enough_descriptors() -> None:
    """Raise the descriptor limit of the service and its attackers to the maximum."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if most == resource.RLIM_INFINITY else min(most, DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
