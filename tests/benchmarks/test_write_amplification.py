"""The cost of a write beside its row: WAL, indexes, space. Only errors are asserted.

Run with PostgreSQL's fillfactor of 100 and with the service's 90, which leaves room on each page.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from support.markdown import Row, table
from support.programs import require

from benchmarks import load
from benchmarks.data import CHANGED, NEW, Task
from benchmarks.filling import Filled
from benchmarks.load import CONNECTIONS, Request
from benchmarks.operations import TASKS
from benchmarks.progress import tell
from benchmarks.serving import serving
from benchmarks.writes import Ledger, Writes
from tasks_backend.testing.databases import Cluster
from tasks_backend.testing.key_server import KeyServer
from tasks_backend.testing.signing import Signer

LIFE_OF_A_TOKEN = 86_400  # seconds, for the longest run
MOST_ROWS = 1_000_000
FILLFACTORS = (100, 90)
LONGER = 5  # times a burst of the other measurements
CHANGED_TASKS = 20_000  # different ones in each run, so that few are changed twice
DELETED_TASKS = 60_000  # each can be deleted once; more than a run deletes
RUNS = ("toggle", "toggle, others", "toggle, still others", "patch", "create", "delete")
HEAD = (
    "",
    "rows",
    "for each page",
    "WAL bytes each",
    "without page images",
    "HOT %",
    "to another page %",
)
PAGE = 8192


@pytest.mark.parametrize("fillfactor", FILLFACTORS)
def test_the_effects_of_writes(
    cluster: Cluster,
    key_server: KeyServer,
    signer: Signer,
    report: Callable[[str], None],
    sizes: list[int],
    pytestconfig: pytest.Config,
    tmp_path: Path,
    fillfactor: int,
) -> None:
    require("wrk")
    seconds: int = pytestconfig.getoption("bench_seconds") * LONGER
    rows = min(max(sizes), MOST_ROWS)
    filled = Filled(cluster, rows, in_order=True, fillfactor=fillfactor)
    ledger = Ledger(cluster, filled)
    filled_sizes = ledger.sizes()
    tokens: dict[str, str] = {}
    found: dict[str, Writes] = {}
    failed = {}
    for number, run in enumerate(RUNS):
        count = DELETED_TASKS if run == "delete" else CHANGED_TASKS
        tasks = filled.anywhere(count, seed=number)
        _sign({task.owner for task in tasks}, tokens, signer)
        load.write(_requests(run, tasks, tokens), tmp_path / "requests")
        with ledger.writes() as written:
            home = tmp_path / str(number)
            home.mkdir()
            with serving(filled.url, key_server.url, home) as base:
                burst = load.send(base, tmp_path / "requests", seconds)
        (found[run],) = written
        failed[run] = burst.errors
        tell(f"fillfactor {fillfactor}: {run}: {found[run].rows} rows, {burst.errors} errors")
    report("\n".join(_tables(rows, fillfactor, found, filled_sizes, ledger.sizes())))
    assert not any(failed.values()), failed


def _sign(people: set[str], tokens: dict[str, str], signer: Signer) -> None:
    expiry = int(time.time()) + LIFE_OF_A_TOKEN
    tokens.update({user: signer.token(user, exp=expiry) for user in people - tokens.keys()})


def _requests(run: str, tasks: list[Task], tokens: Mapping[str, str]) -> Iterator[Request]:
    for task in tasks:
        path, token = f"{TASKS}/{task.id}", tokens[task.owner]
        if run == "create":
            yield Request("POST", TASKS, token, json.dumps(NEW))
        elif run == "patch":
            yield Request("PATCH", path, token, json.dumps(CHANGED))
        elif run == "delete":
            yield Request("DELETE", path, token)
        else:
            yield Request("POST", f"{path}/toggle", token)


def _tables(
    rows: int,
    fillfactor: int,
    found: Mapping[str, Writes],
    before: Mapping[str, int],
    after: Mapping[str, int],
) -> Iterator[str]:
    yield (
        f"\n## Writes, fillfactor {fillfactor}\n\nTasks all over a table of {rows:,}, through the"
        f" service, {CONNECTIONS} connections, one run after the other. Each run starts with a"
        " checkpoint, after which the first change of a page writes an image of all of it. HOT: the"
        " row's new version is on its page, and no index is touched. No vacuum in between.\n"
    )
    pages = before["tasks"] / PAGE
    yield table(HEAD, (_row(run, one, pages) for run, one in found.items()))
    yield "\nBytes for each task, filled in order with all indexes there, and after those runs:\n"
    yield table(
        ("", "filled", "afterwards"),
        ((name, f"{before[name] / rows:.1f}", f"{after[name] / rows:.1f}") for name in before),
    )


def _row(run: str, one: Writes, pages: float) -> Row:
    shares = (
        f"{part * 100 / one.updated:.1f}" if one.updated else "" for part in (one.hot, one.moved)
    )
    return (
        run,
        f"{one.rows:,}",
        f"{one.rows / pages:.2f}",
        *(f"{bytes_ / one.rows:.0f}" for bytes_ in (one.wal, one.wal - one.images)),
        *shares,
    )
