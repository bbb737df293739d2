"""Options: duration and seed; after the run, the number of answers."""

import secrets
from collections import Counter, defaultdict

import pytest

Answers = Counter[tuple[str, int]]
ANSWERS = pytest.StashKey[Answers]()
TIME_TO_FINISH = 180  # seconds, for starting the service and for the last scenario to end


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fuzz")
    group.addoption(
        "--fuzz-seconds", type=int, default=90, help="how long to fuzz: 90, no less than 60"
    )
    group.addoption(
        "--fuzz-seed", type=int, default=secrets.randbelow(2**32), help="by default a new one"
    )


def pytest_report_header(config: pytest.Config) -> str:
    seconds, seed = config.getoption("fuzz_seconds"), config.getoption("fuzz_seed")
    return f"fuzz: --fuzz-seconds {seconds} --fuzz-seed {seed}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.timeout(config.getoption("fuzz_seconds") + TIME_TO_FINISH))


@pytest.fixture
def answers(pytestconfig: pytest.Config) -> Answers:
    """The number of answers by operation and status, shown after the run."""
    return pytestconfig.stash.setdefault(ANSWERS, Answers())


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    answers = config.stash.get(ANSWERS, Answers())
    if not answers:
        return
    rows: dict[str, Counter[int]] = defaultdict(Counter)
    for (operation, status), count in answers.items():
        rows["every other method" if status == 405 else operation][status] += count
    statuses = sorted({status for _, status in answers})
    terminalreporter.section(f"{answers.total()} requests, by operation and status")
    terminalreporter.write_line(" " * 36 + "".join(f"{status:>6}" for status in statuses))
    for name, counts in sorted(rows.items()):
        cells = "".join(f"{counts[status] or '':>6}" for status in statuses)
        terminalreporter.write_line(f"{name:36}{cells}")
    terminalreporter.write_line(pytest_report_header(config))
