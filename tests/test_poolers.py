"""Migrations recognise a pooler by what it does, and name who is in their way (finding C2)."""

import contextlib
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import make_dsn
from support.commands import invoked
from support.programs import PLACES

from tasks_backend.db import migration_session as session
from tasks_backend.db import migrations
from tasks_backend.db.session_statements import TRY_LOCK
from tasks_backend.testing.databases import NEON_OWNER, Cluster

pytest.importorskip("psutil", reason="the pooler is watched with it")

from faults.postgres import Postgres
from support.pooler import pooler


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A server whose socket another user's PgBouncer reaches."""
    with Postgres.running() as server:
        yield server.cluster


@contextlib.contextmanager
def busy_clients(url: str, count: int) -> Iterator[None]:
    """Other clients that use the pooler's connections, in short transactions."""
    stop = threading.Event()

    def query() -> None:
        connection = psycopg2.connect(url)
        connection.autocommit = True
        with connection.cursor() as cursor:
            while not stop.is_set():
                cursor.execute("SELECT pg_sleep(0.01)")
        connection.close()

    threads = [threading.Thread(target=query) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.fixture
def owned(cluster: Cluster) -> tuple[str, str]:
    """A new database and its owner."""
    owner = cluster.login(NEON_OWNER)
    name, _ = cluster.database(owner)
    return name, owner


def locks_of(cluster: Cluster, name: str) -> int:
    with cluster.cursor(name) as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        ((count,),) = cursor.fetchall()
    return int(count)


needs_pgbouncer = pytest.mark.skipif(
    shutil.which("pgbouncer", path=PLACES) is None, reason="PgBouncer is not installed"
)


@needs_pgbouncer
@pytest.mark.parametrize("mode", ["transaction", "statement"])
@pytest.mark.parametrize(
    ("size", "round_robin", "others"), [(5, 0, 0), (1, 0, 0), (5, 1, 3), (4, 0, 6)]
)
def test_a_pooler_is_refused_before_anything_is_set(
    cluster: Cluster,
    owned: tuple[str, str],
    tmp_path: Path,
    *,
    mode: str,
    size: int,
    round_robin: int,
    others: int,
) -> None:
    name, owner = owned
    with pooler(cluster, owner, mode, size, round_robin) as base:
        url = make_dsn(base, dbname=name)
        with busy_clients(url, others):
            said = invoked(tmp_path, "migrate", DATABASE_URL=url_of(url))
        assert said.exit_code == 1
        assert "set DATABASE_URL_UNPOOLED" in said.stderr
        assert locks_of(cluster, name) == 0
        connection = psycopg2.connect(url)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            assert cursor.fetchone() == ("0",)
        connection.close()


@needs_pgbouncer
@pytest.mark.parametrize("size", [1, 5])
def test_a_pooler_that_keeps_sessions_is_good_enough(
    cluster: Cluster, owned: tuple[str, str], size: int
) -> None:
    name, owner = owned
    with pooler(cluster, owner, "session", size, 0) as base:
        migrations.upgrade(make_dsn(base, dbname=name))
    migrations.check(cluster.url_of(name, owner))


@needs_pgbouncer
def test_a_pooler_without_a_free_connection_is_refused(
    cluster: Cluster, owned: tuple[str, str]
) -> None:
    name, owner = owned
    with pooler(cluster, owner, "transaction", 1, 0) as base:
        url = make_dsn(base, dbname=name)
        holder = psycopg2.connect(url)
        holder.cursor().execute("SELECT 1")
        with pytest.raises(migrations.MigrationError, match="DATABASE_URL_UNPOOLED"):
            migrations.upgrade(url)
        holder.close()


def test_a_login_with_one_connection_can_migrate(cluster: Cluster) -> None:
    _, url = cluster.database(cluster.login(f"{NEON_OWNER} CONNECTION LIMIT 1"))
    migrations.upgrade(url)


def url_of(dsn: str) -> str:
    parts = psycopg2.extensions.parse_dsn(dsn)
    return f"postgresql://{parts['user']}@{parts['host']}:{parts['port']}/{parts['dbname']}"


@contextlib.contextmanager
def holding(cluster: Cluster, name: str, sql: str) -> Iterator[Any]:
    """A session called `shell` that does this in a transaction and stays in it."""
    connection = psycopg2.connect(make_dsn(cluster.url, dbname=name, application_name="shell"))
    connection.cursor().execute(sql)
    try:
        yield connection
    finally:
        connection.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks are waited for during one second, as with `lock_timeout` in the login's settings."""
    monkeypatch.setattr(session, "LOCK_TIMEOUT", 0.5)
    for name in ("SET_LOCK_TIMEOUT", "BLOCKING_SESSIONS"):
        value = getattr(session, name).replace("10s", "500ms").replace("10 s", "0.4 s")
        monkeypatch.setattr(session, name, value)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("held", [TRY_LOCK, "LOCK tasks_backend.tasks IN ACCESS SHARE MODE"])
def test_who_holds_a_lock_is_named(cluster: Cluster, owned: tuple[str, str], held: str) -> None:
    name, owner = owned
    url = cluster.url_of(name, owner)
    migrations.upgrade(url)
    with holding(cluster, name, held) as holder:
        pid = holder.info.backend_pid
        with pytest.raises(migrations.MigrationError) as failure:
            migrations.move(url, "0001")
    said = str(failure.value)
    assert f"process {pid} (user " in said
    assert "application shell" in said
    assert f"SELECT pg_terminate_backend({pid})" in said
    migrations.move(url, "0001")  # the same command again completes it
    migrations.upgrade(url)
    migrations.check(url)


@pytest.mark.usefixtures("impatient")
def test_an_index_that_was_interrupted_is_made_again(
    cluster: Cluster, owned: tuple[str, str]
) -> None:
    """CREATE INDEX CONCURRENTLY waits for writers; a lock timeout then leaves it invalid."""
    name, owner = owned
    url = cluster.url_of(name, owner)
    migrations.move(url, "0001")
    with holding(cluster, name, "LOCK tasks_backend.tasks IN ROW EXCLUSIVE MODE") as holder:
        named = f"process {holder.info.backend_pid} "
        with pytest.raises(migrations.MigrationError, match=named):
            migrations.upgrade(url)
    assert invalid_indexes(cluster, name) == ["ix_tasks_list"]
    migrations.upgrade(url)
    assert invalid_indexes(cluster, name) == []
    migrations.check(url)


def invalid_indexes(cluster: Cluster, name: str) -> list[str]:
    with cluster.cursor(name) as cursor:
        cursor.execute(
            "SELECT relname FROM pg_index JOIN pg_class ON oid = indexrelid WHERE NOT indisvalid"
        )
        return [relname for (relname,) in cursor.fetchall()]
