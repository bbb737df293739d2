"""The servers, started on one database with the same rows for each; options of a run."""

import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.programs import require

from benchmarks.data import PEOPLE, Data
from benchmarks.environment import environment
from benchmarks.operations import Operations
from benchmarks.pgbench import Pgbench
from benchmarks.progress import tell
from benchmarks.servers import Server, chosen
from benchmarks.starting import Running, started
from tasks_backend.dev.postgres import embedded
from tasks_backend.testing.databases import Cluster
from tasks_backend.testing.key_server import KeyServer
from tasks_backend.testing.signing import Signer

LIFE_OF_A_TOKEN = 86_400  # seconds, for the longest run
TIME_TO_START = 1800  # seconds, for installing and starting everything
SMALLEST_TABLE = 10_000
MOST_FOR_A_BURST = 60  # seconds beside the burst, for its rows and a slow machine
SETTINGS_OF_POSTGRESQL = (
    "autovacuum = off",
    "checkpoint_timeout = '1h'",
    "max_wal_size = '16GB'",
    "max_connections = 300",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("bench")
    group.addoption("--bench-seconds", type=int, default=2, help="for each burst: 2")
    group.addoption("--bench-rounds", type=int, help="bursts of each kind: 3; with --against, 15")
    group.addoption("--against", help="a revision: only compare the service with it")
    group.addoption("--against-python", default=sys.executable, help="that revision's Python")
    group.addoption("--bench-peers", default="all", help="which peers and limits, by commas: all")
    group.addoption("--bench-delays", default="0,5", help="to the database, in ms: 0,5")
    group.addoption("--bench-requests", type=int, default=10_000, help="for memory: 10000")
    group.addoption("--bench-report", type=Path, help="a file for the results")
    group.addoption("--bench-rows", default="10000,1000000", help="tasks: 10000,1000000")


def pytest_configure(config: pytest.Config) -> None:
    if config.option.bench_rounds is None:
        config.option.bench_rounds = 15 if config.option.against else 3


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    rounds = config.getoption("bench_rounds") + 1
    burst = config.getoption("bench_seconds") + MOST_FOR_A_BURST
    for item in list(items):
        if Path(__file__).parent in item.path.parents:
            if (item.path.stem == "test_against") != bool(config.getoption("against")):
                items.remove(item)
            count = rounds * sum(len(one.operations) for one in chosen("all"))
            item.add_marker(pytest.mark.timeout(TIME_TO_START + count * burst))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """An embedded PostgreSQL with room for the pools of all servers."""
    directory = Path(tempfile.mkdtemp(prefix="tasks-backend-bench-"))
    try:
        with embedded(directory / "postgres") as url, Cluster(url).cursor() as cursor:
            for setting in SETTINGS_OF_POSTGRESQL:
                cursor.execute(f"ALTER SYSTEM SET {setting}")
        with embedded(directory / "postgres") as url:  # some settings need a restart
            yield Cluster(url)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config) -> list[Server]:
    """The service and the selected peers; their programs are installed."""
    try:
        asked = chosen(pytestconfig.getoption("bench_peers"))
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    installed = [server for server in asked if server.source and not server.protocol]
    require("wrk", *{"npm" if s.command[0] == "node" else "uv" for s in installed})
    return asked


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Shows a result, and appends it to the file of an option."""
    path: Path | None = pytestconfig.getoption("bench_report")
    if path is not None:
        path.write_text("")

    def show(result: str) -> None:
        tell(result)
        if path is not None:
            with path.open("a") as file:
                file.write(f"{result}\n")

    return show


@pytest.fixture(scope="session")
def sizes(pytestconfig: pytest.Config) -> list[int]:
    """The sizes of the compared tables, in tasks, smallest first."""
    asked = pytestconfig.getoption("bench_rows").split(",")
    if not all(one.isdecimal() and int(one) >= SMALLEST_TABLE for one in asked):
        raise pytest.UsageError(f"--bench-rows: numbers by commas, {SMALLEST_TABLE} at least each")
    return sorted({int(one) for one in asked})


@pytest.fixture(scope="session")
def tokens(signer: Signer) -> dict[str, str]:
    """A token for each person."""
    expiry = int(time.time()) + LIFE_OF_A_TOKEN
    people = [f"person-{number}" for number in range(PEOPLE)]
    return {person: signer.token(person, exp=expiry) for person in people}


@pytest.fixture(scope="session")
def data(cluster: Cluster, database: str) -> Data:
    return Data(cluster, database)


@pytest.fixture(scope="session")
def operations(
    data: Data, tokens: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Operations:
    return Operations(data, tokens, tmp_path_factory.mktemp("requests"))


@pytest.fixture(scope="session")
def side_by_side(
    servers: list[Server],
    data: Data,
    database: str,
    key_server: KeyServer,
    tokens: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[list[Running | Pgbench]]:
    """All servers, after the check that they do the same job."""
    variables = environment(database, key_server.url)
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                started(server, data, tokens, variables, tmp_path_factory.mktemp("server") / "home")
            )
            for server in servers
        ]
