"""The schema by Alembic only: upgrade, no drift, downgrade, upgrade, for every kind of login."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from support.commands import invoked

from tasks_backend.db import migrations
from tasks_backend.db.statements import REVISIONS
from tasks_backend.testing.databases import NEON_OWNER, PLAIN_OWNER, SUPERUSER, Cluster

FILL = """
INSERT INTO tasks_backend.users (id) VALUES ('u');
INSERT INTO tasks_backend.tasks (id, user_id, title)
SELECT uuidv7(), 'u', 'A title' FROM generate_series(1, %s)
"""
TABLES = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'tasks_backend'"


@contextlib.contextmanager
def with_tasks(cluster: Cluster, count: int) -> Iterator[Any]:
    """A superuser's cursor in a migrated database with this number of tasks of one user."""
    name, url = cluster.database(cluster.login(SUPERUSER))
    migrations.upgrade(url)
    with cluster.cursor(name) as cursor:
        cursor.execute(FILL, (count,))
        yield cursor


@pytest.mark.proves("FR-007", "SC-007")
@pytest.mark.parametrize("attributes", [NEON_OWNER, PLAIN_OWNER, SUPERUSER])
def test_up_and_down_and_up_again_without_drift(cluster: Cluster, attributes: str) -> None:
    name, url = cluster.database(cluster.login(attributes))
    for _ in range(2):
        migrations.upgrade(url)
        migrations.upgrade(url)
        migrations.check(url)
        migrations.downgrade(url)
        with cluster.cursor(name) as cursor:
            cursor.execute(TABLES)
            assert cursor.fetchone() == (1,), "only Alembic's own is left"


def test_settings_of_the_role_do_not_disturb_a_migration(cluster: Cluster) -> None:
    login = cluster.login(PLAIN_OWNER)
    name, url = cluster.database(login)
    with cluster.cursor(name) as cursor:
        for setting in (
            "statement_timeout = '20ms'",
            "idle_in_transaction_session_timeout = '20ms'",
            "quote_all_identifiers = on",
        ):
            cursor.execute(f"ALTER ROLE {login} SET {setting}")
    migrations.upgrade(url)
    assert migrations.upgrade(url)[-1].startswith("The schema is at revision")
    migrations.check(url)


def test_the_service_knows_the_history_and_expects_the_newest() -> None:
    files = sorted((Path(__file__).parents[1] / "migrations/versions").glob("*.py"))
    assert tuple(file.stem.split("_")[3] for file in files) == REVISIONS
    assert migrations.head() == REVISIONS[-1]


BEFORE_0003 = """
SELECT set_config('role', 'tasks_app', true), set_config('app.user_id', 'u', true);
DELETE FROM tasks_backend.idempotency_keys WHERE user_id = 'u' AND expires_at <= now();
INSERT INTO tasks_backend.idempotency_keys (user_id, key, fingerprint, attempt, task_id, title,
    description, completed, version, created_at, updated_at, expires_at)
SELECT user_id, 'k', 'f', id, id, title, description, NOT completed, version + 1, created_at, now(),
    now() + interval '1 day'
FROM tasks_backend.tasks WHERE user_id = 'u' LIMIT 1 FOR UPDATE
ON CONFLICT DO NOTHING;
SELECT key, title FROM tasks_backend.idempotency_keys WHERE user_id = 'u' AND key = 'k'
"""


def test_the_previous_release_can_still_write_its_keys(cluster: Cluster) -> None:
    """During a rollout it runs on the new schema; later releases replay its keys."""
    with with_tasks(cluster, 1) as cursor:
        for _ in range(2):
            cursor.execute(BEFORE_0003.replace("tasks_app", app_role(cursor)))
            assert cursor.fetchall() == [("k", "A title")]
        cursor.execute("SELECT description_in_task FROM tasks_backend.idempotency_keys")
        assert cursor.fetchall() == [(False,)]


def app_role(cursor: Any) -> str:
    """The role of the service in this database."""
    cursor.execute(
        "SELECT grantee FROM information_schema.role_table_grants WHERE table_name = 'tasks'"
        " AND privilege_type = 'DELETE' AND grantee LIKE 'tasks_app%'"
    )
    return str(cursor.fetchone()[0])


@pytest.mark.proves("SC-003")
@pytest.mark.parametrize("column", ["user_id", "key"])
def test_a_request_cannot_give_a_key_to_another_user(cluster: Cluster, column: str) -> None:
    with with_tasks(cluster, 1) as cursor:
        cursor.execute(f"SET ROLE {app_role(cursor)}")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(f"UPDATE tasks_backend.idempotency_keys SET {column} = 'x'")


def test_a_shared_database_keeps_its_other_tables(cluster: Cluster) -> None:
    """Better Auth's tables are in the schema `public`; one of them is even called "user"."""
    name, url = cluster.database(cluster.login(NEON_OWNER))
    with cluster.cursor(name) as cursor:
        cursor.execute('CREATE TABLE public."user" (id text PRIMARY KEY)')
        cursor.execute("CREATE TABLE public.tasks (id int)")
    migrations.upgrade(url)
    migrations.check(url)
    migrations.downgrade(url)
    with cluster.cursor(name) as cursor:
        cursor.execute('SELECT FROM public."user", public.tasks')


def test_concurrent_migrations_run_one_after_the_other(cluster: Cluster) -> None:
    _, url = cluster.database(cluster.login(NEON_OWNER))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrations.upgrade, [url] * 4))
    migrations.check(url)


def test_two_owners_in_one_cluster_do_not_need_each_other(cluster: Cluster) -> None:
    for _ in range(2):
        _, url = cluster.database(cluster.login(NEON_OWNER))
        migrations.upgrade(url)


def test_a_login_that_policies_cannot_bind_gets_instructions(cluster: Cluster) -> None:
    _, url = cluster.database(cluster.login("BYPASSRLS NOCREATEROLE"))
    with pytest.raises(migrations.MigrationError, match=r"GRANT tasks_app TO login_"):
        migrations.upgrade(url)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://u:p4ss@ep-x-pooler.eu-central-1.aws.neon.tech/d", "DATABASE_URL_UNPOOLED"),
        ("postgresql://u:p4ss@127.0.0.1:1/d", "Connection refused"),
    ],
)
def test_a_migration_error_does_not_show_the_password(url: str, reason: str) -> None:
    with pytest.raises(migrations.MigrationError, match=reason) as failure:
        migrations.upgrade(url)
    assert "p4ss" not in str(failure.value)


@pytest.mark.proves("FR-002")
@pytest.mark.parametrize(
    "change",
    [
        "title = ''",
        "title = '   '",
        "title = repeat('x', 201)",
        "description = repeat('x', 10001)",
        "version = 0",
        "user_id = 'nobody'",
        "title = NULL",
        "completed = NULL",
    ],
)
def test_invariants_are_database_constraints(cluster: Cluster, change: str) -> None:
    refused = r"violates (check|foreign key|not-null) constraint"
    with with_tasks(cluster, 1) as cursor, pytest.raises(Exception, match=refused):
        cursor.execute(f"UPDATE tasks_backend.tasks SET {change}")


def test_a_changed_task_stays_on_its_page(cluster: Cluster) -> None:
    """Decision 0015: no change touches an index, not even the first changes."""
    with with_tasks(cluster, 10_000) as cursor:
        cursor.execute(
            "UPDATE tasks_backend.tasks SET completed = true WHERE ctid::text LIKE '%,7)'"
        )
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables"
            " WHERE relid = 'tasks_backend.tasks'::regclass"
        )
        ((changed, hot),) = cursor.fetchall()
    assert changed == hot > 50


@pytest.mark.proves("FR-007")
def test_a_later_revision_is_left_alone(cluster: Cluster, tmp_path: Path) -> None:
    """An older release's init step must not keep its pods from starting (finding C8)."""
    with with_tasks(cluster, 1) as cursor:
        url = cursor.connection.dsn
        cursor.execute("UPDATE tasks_backend.alembic_version SET version_num = '0099'")
        cursor.execute("DROP POLICY own_rows ON tasks_backend.tasks")
        migrated = invoked(tmp_path, "migrate", DATABASE_URL=url)
        assert (migrated.exit_code, migrated.stderr) == (0, "")
        assert "at revision 0099" in migrated.stdout
        assert "nothing to do" in migrated.stdout
        cursor.execute("SELECT count(*) FROM pg_policy WHERE polname = 'own_rows'")
        assert cursor.fetchone() == (3,), "a later release's policies are its own"
        refused = invoked(tmp_path, "migrate", "--to", "0002", "--yes", DATABASE_URL=url)
        assert refused.exit_code == 1
        assert "use the release that migrated it" in refused.stderr


@pytest.mark.proves("FR-007")
def test_a_schema_can_be_moved_to_a_revision_and_back(cluster: Cluster, tmp_path: Path) -> None:
    """With a warning of what is lost, and a confirmation (finding C9)."""
    with with_tasks(cluster, 3) as cursor:
        url = cursor.connection.dsn
        asked = invoked(tmp_path, "migrate", "--to", "0001", DATABASE_URL=url)
        assert asked.exit_code == 2
        assert "--yes" in asked.stderr
        assert revision(cursor) == REVISIONS[-1]
        down = invoked(tmp_path, "migrate", "--to", "0001", "--yes", DATABASE_URL=url)
        assert (down.exit_code, down.stdout) == (0, "The schema is at revision 0001.\n")
        assert [line[:20] for line in down.stderr.splitlines()] == [
            f"Below revision {step}:" for step in ("0006", "0005", "0004", "0003", "0002")
        ]
        assert "descriptions" in down.stderr
        up = invoked(tmp_path, "migrate", "--to", "0002", DATABASE_URL=url)
        assert (up.exit_code, up.stderr, revision(cursor)) == (0, "", "0002")
        migrations.upgrade(url)
        migrations.check(url)
        cursor.execute("SELECT count(*) FROM tasks_backend.tasks")
        assert cursor.fetchone() == (3,)


@pytest.mark.parametrize("unknown", ["0099", "base", "head", "-1", ""])
def test_an_unknown_revision_is_refused_in_one_line(
    cluster: Cluster, tmp_path: Path, unknown: str
) -> None:
    with with_tasks(cluster, 1) as cursor:
        refused = invoked(
            tmp_path, "migrate", f"--to={unknown}", "--yes", DATABASE_URL=cursor.connection.dsn
        )
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert len(refused.stderr.splitlines()) == 1
        assert f"{', '.join(REVISIONS)} exist" in refused.stderr
        assert revision(cursor) == REVISIONS[-1]


def revision(cursor: Any) -> str:
    cursor.execute("SELECT version_num FROM tasks_backend.alembic_version")
    return str(cursor.fetchone()[0])
