"""Options: duration, seed, faults and users; after the run, its report."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.programs import require

from faults.deployment import Deployment, deployed
from faults.fault import Fault
from faults.kinds import KINDS

TIME_TO_FINISH = 600  # seconds, for the start, for long faults and for the checks
REPORT = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption("--faults-seconds", type=int, default=120, help="how long faults are done: 120")
    group.addoption(
        "--faults-seed", type=int, default=secrets.randbelow(2**32), help="by default a new one"
    )
    names = ", ".join(kind.name for kind in KINDS)
    group.addoption("--faults-kinds", default="", help=f"some of: {names}; by default all")
    group.addoption("--faults-users", type=int, default=40, help="how many users: 40")
    group.addoption("--faults-report", type=Path, help="a file for the report")


def pytest_report_header(config: pytest.Config) -> str:
    seconds, seed = config.getoption("faults_seconds"), config.getoption("faults_seed")
    return f"faults: --faults-seconds {seconds} --faults-seed {seed}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            limit = config.getoption("faults_seconds") + TIME_TO_FINISH
            item.add_marker(pytest.mark.timeout(limit))


@pytest.fixture(scope="session")
def kinds(pytestconfig: pytest.Config) -> tuple[type[Fault], ...]:
    """The selected kinds of faults."""
    known = {kind.name: kind for kind in KINDS}
    asked = [name.strip() for name in pytestconfig.getoption("faults_kinds").split(",") if name]
    if unknown := [name for name in asked if name not in known]:
        raise pytest.UsageError(f"no such fault: {unknown}; there are {list(known)}")
    return tuple(known[name] for name in asked) or KINDS


@pytest.fixture
def deployment() -> Iterator[Deployment]:
    require("pgbouncer")
    with deployed() as deployment:
        yield deployment


@pytest.fixture
def report(pytestconfig: pytest.Config) -> Iterator[list[str]]:
    """Lines of the report: shown after the run, and written to the file of an option."""
    parts: list[str] = []
    yield parts
    text = "\n".join(parts)
    pytestconfig.stash[REPORT] = text
    if (path := pytestconfig.getoption("faults_report")) is not None:
        path.write_text(text)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if text := config.stash.get(REPORT, ""):
        terminalreporter.section("faults")
        terminalreporter.write_line(text)
        terminalreporter.write_line(pytest_report_header(config))
