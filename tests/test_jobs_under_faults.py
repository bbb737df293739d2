"""An outbox under faults: nothing is lost, and no two processes hold its lease at one time.

Through PgBouncer in transaction mode; the process that holds the lease is killed (SIGKILL), and the
database is restarted.
"""

import asyncio
import contextlib
import itertools
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg2.extensions import make_dsn
from support.outbox import create, idle, outbox
from support.programs import PLACES, Program

from tasks_backend.db import migrations
from tasks_backend.db.database import Database
from tasks_backend.db.pool import Pool
from tasks_backend.testing.databases import NEON_OWNER
from tasks_backend.testing.waiting import until

pytest.importorskip("psutil", reason="the pooler is watched with it")

from faults.postgres import Postgres
from support.pooler import pooler

TITLES = {f"task {number}" for number in range(30)}
LINE = re.compile(r"(\d+) (begins|delivers) (task \d+)")


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    with Postgres.running() as server:
        yield server


async def fill(url: str) -> None:
    """Create a task for each title, as several users."""
    database = Database(Pool(url, size=4, wait=30, connect_timeout=5), statement_timeout=5)
    for number, title in enumerate(sorted(TITLES)):
        await create(database, f"user {number % 3}", title)
    database.close()


@pytest.mark.proves("FR-021")
@pytest.mark.skipif(
    shutil.which("pgbouncer", path=PLACES) is None, reason="PgBouncer is not installed"
)
def test_everything_is_delivered_and_by_one_process_at_a_time(
    postgres: Postgres, tmp_path: Path
) -> None:
    owner = postgres.cluster.login(NEON_OWNER)
    name, url = postgres.cluster.database(owner)
    migrations.upgrade(url, [outbox(tmp_path / "migrations", idle)])
    delivered = tmp_path / "delivered"
    delivered.touch()

    def lines() -> list[tuple[int, str, str]]:
        found = LINE.findall(delivered.read_text())
        return [(int(process), what, title) for process, what, title in found]

    with (
        pooler(postgres.cluster, owner, "transaction", 5, 0) as base,
        contextlib.ExitStack() as stack,
    ):
        pooled = make_dsn(base, dbname=name)
        command = [sys.executable, "-m", "support.outbox", pooled, str(tmp_path)]
        programs = [
            Program(command, tmp_path / f"{number}.log", directory=Path(__file__).parent)
            for number in range(2)
        ]
        for program in programs:
            stack.callback(program.kill)
            program.start()
        asyncio.run(fill(url))
        until(lambda: len(lines()) > 5, "the first deliveries")
        holder = lines()[-1][0]
        killed = next(program for program in programs if program.pid == holder)
        killed.send(signal.SIGKILL)
        killed.process.wait()
        before = len(lines())
        until(lambda: len(lines()) > before + 5, "the other process to take over")
        postgres.stop()
        postgres.start()
        with postgres.cluster.cursor(name) as cursor:

            def left() -> int:
                cursor.execute("SELECT count(*) FROM tasks_backend_outbox.events")
                return int(cursor.fetchone()[0])

            until(lambda: left() == 0, "the outbox to be empty")
    seen = lines()
    assert {title for _, what, title in seen if what == "delivers"} == TITLES
    assert {process for process, _, _ in seen[before:]} == {
        program.pid for program in programs if program is not killed
    }
    for number, ((process, what, _), after) in enumerate(itertools.pairwise(seen), 1):
        assert what == "delivers" or after[0] == process or number == before
    log = "".join((tmp_path / f"{number}.log").read_text() for number in range(2))
    assert "was not given back: it runs again" in log
