"""Newman's runs: with `tasks-backend dev`, and with the service in each fault condition."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.documents import document
from support.node import NPM_TIMEOUT, installed

from postman.contract import Cell, operations
from postman.coverage import table
from postman.development import development
from postman.files import COLLECTION
from postman.runs import Run, expectations, newman
from postman.trouble import TROUBLES, World
from tasks_backend import Settings
from tasks_backend.testing.databases import Cluster
from tasks_backend.testing.signing import Signer

HEALTHY = ""
Runs = dict[str, Run]
RUNS = pytest.StashKey[Runs]()
Newman = Callable[..., Run]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(3 * NPM_TIMEOUT))


@pytest.fixture(scope="session")
def run_newman(tmp_path_factory: pytest.TempPathFactory) -> Newman:
    """Runs a collection with these values."""
    directory = tmp_path_factory.mktemp("node")
    programs = installed(Path(__file__).parent / "package.json", directory)
    expected = expectations(document())

    def run(collection: Path, values: dict[str, str], *arguments: str) -> Run:
        return newman(programs, directory, collection, values, expected, *arguments)

    return run


@pytest.fixture(scope="session")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with development(tmp_path_factory.mktemp("dev")) as values:
        yield values


@pytest.fixture(scope="session")
def runs(
    pytestconfig: pytest.Config,
    run_newman: Newman,
    dev: dict[str, str],
    cluster: Cluster,
    database: str,
    settings: Settings,
    signer: Signer,
) -> Runs:
    """One run for each condition, with the healthy service first."""
    world = World(cluster, database, settings, signer)
    found = pytestconfig.stash.setdefault(RUNS, {})
    found[HEALTHY] = run_newman(COLLECTION, dev)
    for condition, trouble in TROUBLES.items():
        with trouble(world) as values:
            found[condition] = run_newman(COLLECTION, {**values, "condition": condition})
    return found


def documented() -> set[Cell]:
    return {cell for operation in operations(document()) for cell in operation.cells()}


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    runs = config.stash.get(RUNS, {})
    if not runs:
        return
    total = sum(run.assertions for run in runs.values())
    terminalreporter.section(f"{len(runs)} runs of the collection, {total} assertions")
    answered = set().union(*(run.answered for run in runs.values()))
    asserted = set().union(*(run.asserted for run in runs.values()))
    for line in table(documented(), answered, asserted):
        terminalreporter.write_line(line)
