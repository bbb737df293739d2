"""A restored database works after `migrate`: way of dumping x login x cluster (finding C1)."""

import asyncio
import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tasks_backend import Plugin
from tasks_backend.db import migrations
from tasks_backend.db.connection import Row
from tasks_backend.db.database import Database
from tasks_backend.db.pool import Pool
from tasks_backend.db.statements import Statement, statement
from tasks_backend.http.caller import Caller
from tasks_backend.tasks.ids import new_id
from tasks_backend.tasks.list_statements import PAGES, PageForm
from tasks_backend.tasks.statements import CREATE, GET, TASK_OWNERSHIP
from tasks_backend.testing.databases import NEON_OWNER, PLAIN_OWNER, SUPERUSER, Cluster

pytest.importorskip("psutil", reason="the server's programs are watched with it")

from faults.postgres import BINARIES, Postgres

DEBIAN = Path("/usr/lib/postgresql/15/bin")
WAYS = {
    "plain": [],
    "custom": ["-Fc"],
    "no owner": ["-Fc", "--no-owner"],
    "no ACL": ["-Fc", "--no-acl"],
    "no owner, no ACL": ["-Fc", "--no-owner", "--no-acl"],
    "nothing": ["-Fc", "--no-owner", "--no-acl", "--no-comments"],
    "one schema": ["--schema=tasks_backend", "--no-owner", "--no-acl"],
}
LOGINS = {
    "superuser": SUPERUSER,
    "neon": NEON_OWNER,
    "role creator": "CREATEROLE NOBYPASSRLS",
    "plain": PLAIN_OWNER,
}
OLD_TASK = new_id()
NOTES = """
from alembic import op

from tasks_backend import row_level_security

revision, down_revision = "0001", None


def upgrade():
    op.execute('''
        CREATE TABLE tasks_backend_notes.notes (
            user_id text NOT NULL REFERENCES tasks_backend.users ON DELETE CASCADE, note text
        )
    ''')
    op.execute(row_level_security("tasks_backend_notes.notes", ["SELECT", "INSERT"]))
"""
WRITE_NOTE = statement(
    text("INSERT INTO tasks_backend_notes.notes VALUES (:user_id, 'new')"), idempotent=False
)
READ_NOTES = statement(text("SELECT user_id FROM tasks_backend_notes.notes"), idempotent=True)
ROLES = "SELECT rolname FROM pg_roles WHERE rolname LIKE 'tasks\\_app%' AND has_schema_privilege(oid, 'tasks_backend', 'USAGE')"


@dataclass(frozen=True)
class Lab:
    """A server, the dumps of a migrated database, and the plugin with a table in it."""

    postgres: Postgres
    dumps: dict[str, Path]
    notes: Plugin

    @property
    def cluster(self) -> Cluster:
        return self.postgres.cluster

    def remove_roles(self, *logins: str) -> None:
        with self.cluster.cursor() as cursor:
            cursor.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'tasks\\_app%'")
            for role in (*(role for (role,) in cursor.fetchall()), *logins):
                cursor.execute(f"DROP ROLE {role}")


def program(postgres: Postgres, name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(postgres.binaries / name), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextlib.contextmanager
def laboratory(binaries: Path) -> Iterator[Lab]:
    """A database of a BYPASSRLS owner with a task and a note, dumped; then it and its roles go."""
    with Postgres.running(binaries) as postgres:
        directory = postgres.log.parent
        (directory / "notes").mkdir()
        (directory / "notes" / "0001_notes.py").write_text(NOTES)
        notes = Plugin("notes", migrations=directory / "notes")
        lab = Lab(postgres, {}, notes)
        owner = postgres.cluster.login(NEON_OWNER)
        database, url = postgres.cluster.database(owner)
        migrations.upgrade(url, [notes])
        with postgres.cluster.cursor(database) as cursor:
            cursor.execute("INSERT INTO tasks_backend.users (id) VALUES ('alice')")
            cursor.execute(
                "INSERT INTO tasks_backend.tasks (id, user_id, title) VALUES (%s, 'alice', 'old')",
                (str(OLD_TASK),),
            )
            cursor.execute("INSERT INTO tasks_backend_notes.notes VALUES ('alice', 'old')")
        for way, arguments in WAYS.items():
            lab.dumps[way] = directory / way
            dumped = program(postgres, "pg_dump", *arguments, f"--file={lab.dumps[way]}", url)
            assert dumped.returncode == 0, dumped.stderr
        with postgres.cluster.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {database}")
        lab.remove_roles(owner)
        yield lab


@pytest.fixture(scope="module")
def newest() -> Iterator[Lab]:
    with laboratory(BINARIES) as lab:
        yield lab


@pytest.fixture(scope="module")
def debian() -> Iterator[Lab]:
    if not DEBIAN.exists():
        pytest.skip("PostgreSQL 15 is not installed: apt-get install postgresql-15")
    with laboratory(DEBIAN) as lab:
        yield lab


@contextlib.contextmanager
def restored(lab: Lab, way: str, login: str, *, with_role: bool) -> Iterator[tuple[str, str]]:
    """The database and the login that restored the dump, as far as its rights went."""
    cluster = lab.cluster
    if with_role:
        with cluster.cursor() as cursor:
            cursor.execute("CREATE ROLE tasks_app NOLOGIN")
    owner = cluster.login(LOGINS[login])
    database, url = cluster.database(owner)
    dump = str(lab.dumps[way])
    if "-Fc" in WAYS[way]:
        kept = [argument for argument in WAYS[way] if argument.startswith("--no")]
        program(lab.postgres, "pg_restore", *kept, f"--dbname={url}", dump)
    else:
        program(lab.postgres, "psql", "-X", "-q", "-f", dump, url)
    try:
        yield database, owner
    finally:
        with cluster.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {database}")
            cursor.execute("DROP ROLE IF EXISTS tasks_service")
        lab.remove_roles(owner)


def roles(cursor: Any) -> list[str]:
    """The roles of requests in this database."""
    cursor.execute(ROLES)
    return [role for (role,) in cursor.fetchall()]


def service_login(lab: Lab, database: str, owner: str, login: str) -> str:
    """The URL of the least-privileged login of docs/neon.md; else of the owner, if no role exists."""
    with lab.cluster.cursor(database) as cursor:
        if not (named := roles(cursor)):
            return lab.cluster.url_of(database, owner)
        if login in {"superuser", "neon"}:
            cursor.execute(f"SET ROLE {owner}")  # as the document says, by the owner
        cursor.execute("CREATE ROLE tasks_service LOGIN NOINHERIT")
        cursor.execute(f"GRANT {max(named)} TO tasks_service")
    return lab.cluster.url_of(database, "tasks_service")


async def try_service(url: str) -> None:
    """Create, read and isolate a task and a note with the service's own messages."""
    database = Database(Pool(url, size=1, wait=5, connect_timeout=5), statement_timeout=5)

    async def run(user: str, sent: Statement, **parameters: Any) -> list[Row]:
        caller = Caller(user, asyncio.get_running_loop().time() + 30)
        return await database.run(sent, caller, **parameters)

    try:
        await database.readiness.check(timeout=5)
        task = {"id": str(new_id()), "title": "new", "description": None, "completed": False}
        await run("alice", CREATE, **task)
        page = {"completed": None, "limit": 10}
        assert [row[2] for row in await run("alice", PAGES[PageForm("asc")], **page)] == [
            "old",
            "new",
        ]
        assert await run("bob", PAGES[PageForm("asc")], **page) == []
        assert await run("bob", GET, id=str(OLD_TASK)) == []
        assert await run("bob", TASK_OWNERSHIP, id=str(OLD_TASK)) == [(None, True)]
        await run("alice", WRITE_NOTE)
        assert {owner for (owner,) in await run("alice", READ_NOTES)} == {"alice"}
        assert await run("bob", READ_NOTES) == []
    finally:
        database.close()


def restore_and_serve(lab: Lab, way: str, login: str, *, with_role: bool) -> None:
    with restored(lab, way, login, with_role=with_role) as (database, owner):
        url = lab.cluster.url_of(database, owner)
        migrations.upgrade(url, [lab.notes])
        asyncio.run(try_service(service_login(lab, database, owner, login)))
        migrations.check(url)


CASES = [
    pytest.param(way, login, with_role, id=f"{way}, {login}, {'with' if with_role else 'no'} role")
    for way in WAYS
    for login in LOGINS
    for with_role in (False, True)
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every third case, and on PostgreSQL 15 every ninth; all with `--all-restores`."""
    if "way" in metafunc.fixturenames:
        step = 9 if "debian" in metafunc.fixturenames else 3
        cases = CASES if metafunc.config.getoption("all_restores") else CASES[::step]
        metafunc.parametrize(("way", "login", "with_role"), cases)


@pytest.mark.proves("FR-019", "FR-007", "SC-003")
def test_a_restored_database_works_after_migrate(
    newest: Lab, way: str, login: str, *, with_role: bool
) -> None:
    restore_and_serve(newest, way, login, with_role=with_role)


def test_a_restored_database_works_after_migrate_on_debians_postgresql(
    debian: Lab, way: str, login: str, *, with_role: bool
) -> None:
    restore_and_serve(debian, way, login, with_role=with_role)


def test_a_login_that_does_not_own_the_tables_is_told_who_does(newest: Lab) -> None:
    with restored(newest, "no owner, no ACL", "superuser", with_role=False) as (database, owner):
        other = newest.cluster.login(NEON_OWNER)
        with pytest.raises(migrations.MigrationError) as failure:
            migrations.upgrade(newest.cluster.url_of(database, other))
        with newest.cluster.cursor() as cursor:
            cursor.execute(f"DROP ROLE {other}")
    assert f"belongs to {owner}, not to {other}; run `tasks-backend migrate` as {owner}" in str(
        failure.value
    )


def test_what_is_complete_is_left_alone_and_needs_no_rights(newest: Lab) -> None:
    """The least-privileged login may migrate, if it inherits the rights to read the revisions."""
    with restored(newest, "nothing", "superuser", with_role=False) as (database, owner):
        url = newest.cluster.url_of(database, owner)
        first, second = (migrations.upgrade(url, [newest.notes]) for _ in range(2))
        assert "restored" in first[1]
        assert second == [line for line in first if "restored" not in line]
        reader = newest.cluster.login("INHERIT")
        with newest.cluster.cursor() as cursor:
            cursor.execute(f"GRANT tasks_app TO {reader}")
        assert migrations.upgrade(newest.cluster.url_of(database, reader), [newest.notes]) == second
        with newest.cluster.cursor() as cursor:
            cursor.execute(f"DROP ROLE {reader}")


def test_a_plugins_rights_from_before_they_were_recorded_are_recorded(newest: Lab) -> None:
    with restored(newest, "plain", "neon", with_role=True) as (database, owner):
        url = newest.cluster.url_of(database, owner)
        migrations.upgrade(url, [newest.notes])
        with newest.cluster.cursor(database) as cursor:
            cursor.execute("DROP TABLE tasks_backend_notes.request_rights")
        migrations.upgrade(url, [newest.notes])
        with newest.cluster.cursor(database) as cursor:
            cursor.execute("SELECT name, privileges FROM tasks_backend_notes.request_rights")
            assert cursor.fetchall() == [("notes", ["SELECT", "INSERT"])]
            cursor.execute(
                "DROP TABLE tasks_backend_notes.request_rights;"
                " REVOKE ALL ON tasks_backend_notes.notes FROM " + ", ".join(roles(cursor))
            )
        with pytest.raises(
            migrations.MigrationError, match=r"tasks_backend_notes\.notes is not rec"
        ):
            migrations.upgrade(url, [newest.notes])
