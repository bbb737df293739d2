"""A third-party plugin, installed from its wheel: enabled and disabled.

The session `plugin` builds and installs tests/plugin/audit.
"""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from psycopg2.extensions import parse_dsn
from support.commands import run, serving
from support.programs import LOG

import tasks_backend
from tasks_backend import plugin
from tasks_backend.db import migrations
from tasks_backend.db.statements import REVISIONS, ROLE_OF_LOGIN
from tasks_backend.testing.databases import NEON_OWNER, PLAIN_OWNER, SUPERUSER, Cluster
from tasks_backend.testing.service import User, problem
from tasks_backend.testing.signing import Signer
from tasks_backend.testing.waiting import until

AUDIT = "/api/v1/audit"
TASKS = "/api/v1/tasks"

Deployment = tuple[str, dict[str, str]]


def deploy(cluster: Cluster, attributes: str, environment: dict[str, str]) -> Deployment:
    name, url = cluster.database(cluster.login(attributes))
    return name, {**environment, "DATABASE_URL": url}


@contextmanager
def person(url: str, signer: Signer) -> Iterator[User]:
    sub = secrets.token_hex(16)
    headers = {"Authorization": f"Bearer {signer.token(sub)}"}
    with httpx2.Client(base_url=url, headers=headers, timeout=30) as client:
        yield User(sub, client)


def trail(user: User, **query: int | str) -> list[dict[str, Any]]:
    response = user.client.get(AUDIT, params=query)
    assert response.status_code == 200, response.text
    items: list[dict[str, Any]] = response.json()["items"]
    return items


def story(user: User) -> list[tuple[str, str, int]]:
    return [(entry["action"], entry["task_id"], entry["version"]) for entry in trail(user)]


def test_all_packages_are_installed_and_none_is_the_checkout() -> None:
    for package in (tasks_backend, plugin.load_plugins(["audit"])[0].migrations):
        assert "site-packages" in str(getattr(package, "__file__", package))


@pytest.mark.proves("SC-003", "FR-010")
@pytest.mark.parametrize("attributes", [NEON_OWNER, PLAIN_OWNER, SUPERUSER])
def test_enabled_it_shows_users_their_own_changes(
    tmp_path: Path, cluster: Cluster, environment: dict[str, str], signer: Signer, attributes: str
) -> None:
    name, variables = deploy(cluster, attributes, {**environment, "PLUGINS": "audit"})
    for _ in range(2):
        migrated = run(tmp_path, "migrate", **variables)
        assert (migrated.returncode, migrated.stdout.splitlines()) == (
            0,
            [f"The schema is at revision {REVISIONS[-1]}.", "That of audit is at revision 0001."],
        ), migrated.stderr
    with (
        serving(tmp_path, **variables) as url,
        person(url, signer) as alice,
        person(url, signer) as bob,
    ):
        assert httpx2.get(f"{url}/readyz").status_code == 200
        problem(httpx2.get(url + AUDIT), 401, "missing_token")
        described = httpx2.get(f"{url}/openapi.json").json()["paths"][AUDIT]["get"]
        assert described["operationId"] == "audit_v1_list_entries"
        assert {"200", "401", "422", "503"} <= described["responses"].keys()
        assert described["security"]
        task = alice.create()
        key = {"Idempotency-Key": secrets.token_hex(8)}
        path = f"{TASKS}/{task['id']}"
        for _ in range(2):
            assert alice.client.post(f"{path}/toggle", headers=key).status_code == 200
        problem(bob.client.delete(path), 403, "task_forbidden")
        problem(alice.client.patch(path, json={"title": ""}), 422, "validation_error")
        assert story(bob) == []
        assert alice.client.delete(path).status_code == 204
        expected = [(action, task["id"], n) for action, n in (("update", 2), ("insert", 1))]
        assert story(alice) == [("delete", task["id"], 2), *expected]
        other = bob.create()
        assert story(bob) == [("insert", other["id"], 1)]
        isolation(cluster, name, variables["DATABASE_URL"], alice, bob)
        pages(alice)
        refusals(alice)
        erasure(tmp_path, variables, alice, bob)
    log = (tmp_path / LOG).read_text()
    assert log.index("the audit trail can be read") < log.index("can no longer be read")


def isolation(cluster: Cluster, name: str, url: str, alice: User, bob: User) -> None:
    """Row-level security: a statement without an owner reads only own rows, and writes none."""
    login = parse_dsn(url)["user"]
    with cluster.cursor(name, user=login) as cursor:
        cursor.execute(ROLE_OF_LOGIN)
        ((role,),) = cursor.fetchall()
        cursor.execute("SELECT set_config('role', %s, false)", (role,))
        for user in (alice, bob):
            cursor.execute("SELECT set_config('app.user_id', %s, false)", (user.sub,))
            cursor.execute("SELECT DISTINCT user_id FROM tasks_backend_audit.entries")
            assert cursor.fetchall() == [(user.sub,)]
        cursor.execute("SELECT set_config('app.user_id', '', false)")
        cursor.execute("SELECT FROM tasks_backend_audit.entries")
        assert cursor.fetchall() == []
        if role == "none":
            return
        for change in ("DELETE FROM", "INSERT INTO", "UPDATE", "TRUNCATE"):
            rest = {"INSERT INTO": " DEFAULT VALUES", "UPDATE": " SET version = 9"}.get(change, "")
            with pytest.raises(Exception, match="permission denied"):
                cursor.execute(f"{change} tasks_backend_audit.entries{rest}")


def pages(user: User) -> None:
    """Every entry once, in order, for any page size."""
    for _ in range(5):
        user.create()
    whole = trail(user)
    assert [entry["at"] for entry in whole] == sorted((e["at"] for e in whole), reverse=True)
    assert whole[0]["at"].endswith("Z")
    for limit in (1, 3, len(whole), len(whole) + 1):
        found, query = [], {"limit": str(limit)}
        while True:
            page = user.client.get(AUDIT, params=query).json()
            assert len(page["items"]) <= limit
            found += page["items"]
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
        assert found == whole


def refusals(user: User) -> None:
    for query in ({"limit": 0}, {"limit": 101}, {"limit": "x"}, {"cursor": "x"}):
        problem(user.client.get(AUDIT, params=query), 422, "validation_error")
    for method in ("POST", "DELETE", "PUT", "PATCH"):
        refused = user.client.request(method, AUDIT)
        problem(refused, 405, "method_not_allowed")
        assert refused.headers["allow"] == "GET, HEAD"
    problem(user.client.get(f"{AUDIT}/1"), 404, "not_found")


def erasure(home: Path, variables: dict[str, str], alice: User, bob: User) -> None:
    """A user's entries are exported and erased with the user; those of others remain."""
    exported = json.loads(run(home, "export-user", alice.sub, **variables).stdout)
    entries = exported["plugins"].pop("audit").pop("entries")
    assert not any(exported["plugins"].values())
    assert [(entry["id"], entry["action"]) for entry in reversed(entries)] == [
        (entry["id"], entry["action"]) for entry in trail(alice)
    ]
    others = trail(bob)
    purged = run(home, "purge-user", alice.sub, "--yes", **variables)
    assert purged.returncode == 0, purged.stderr
    assert trail(alice) == []
    assert trail(bob) == others


def test_disabled_it_has_no_route_and_no_table(
    tmp_path: Path, cluster: Cluster, environment: dict[str, str], signer: Signer
) -> None:
    name, variables = deploy(cluster, NEON_OWNER, environment)
    migrated = run(tmp_path, "migrate", **variables)
    assert (migrated.returncode, migrated.stdout) == (
        0,
        f"The schema is at revision {REVISIONS[-1]}.\n",
    )
    with cluster.cursor(name) as cursor:
        cursor.execute("SELECT to_regnamespace('tasks_backend_audit')")
        assert cursor.fetchall() == [(None,)]
    with serving(tmp_path, **variables) as url, person(url, signer) as user:
        assert httpx2.get(f"{url}/readyz").status_code == 200
        problem(user.client.get(AUDIT), 404, "not_found")
        assert not any("audit" in path for path in user.client.get("/openapi.json").json()["paths"])
        user.create()


def test_without_its_table_the_service_is_not_ready_and_says_why(
    tmp_path: Path, cluster: Cluster, environment: dict[str, str]
) -> None:
    name, variables = deploy(cluster, NEON_OWNER, environment)
    assert run(tmp_path, "migrate", **variables).returncode == 0
    variables["PLUGINS"] = "audit"
    with serving(tmp_path, **variables) as url:
        problem(httpx2.get(f"{url}/readyz"), 503, "database_unavailable")
        diagnosis = run(tmp_path, "doctor", **variables)
        reason = "the schema tasks_backend_audit: a table is missing (42P01): run `tasks-backend migrate`"
        assert reason in diagnosis.stdout, diagnosis.stdout
        log = (tmp_path / LOG).read_text()
        assert f"the database is not ready: {reason}" in log, log
        assert run(tmp_path, "migrate", **variables).returncode == 0
        until(lambda: httpx2.get(f"{url}/readyz").status_code == 200)
        assert reason not in run(tmp_path, "doctor", **variables).stdout
    with cluster.cursor(name) as cursor:
        cursor.execute("UPDATE tasks_backend_audit.alembic_version SET version_num = '0002'")
    with serving(tmp_path, **variables) as url:
        assert httpx2.get(f"{url}/readyz").status_code == 200, "a later release's"
    newer = run(tmp_path, "migrate", **variables)
    assert newer.returncode == 0
    assert "at revision 0002, later than 0001" in newer.stdout
    assert "nothing to do" in newer.stdout


def test_dev_migrates_it_too(tmp_path: Path) -> None:
    with serving(tmp_path, "--no-reload", start="dev", PLUGINS="audit") as url:
        token = run(tmp_path, "token", "alice").stdout.strip()
        headers = {"Authorization": f"Bearer {token}"}
        with httpx2.Client(base_url=url, headers=headers, timeout=30) as client:
            alice = User("alice", client)
            task = alice.create()
            assert story(alice) == [("insert", task["id"], 1)]


def test_its_migration_history_is_separate(cluster: Cluster) -> None:
    """Upgrade, no drift of the service's tables, downgrade, upgrade; one statement removes all."""
    (audit,) = plugin.load_plugins(["audit"])
    name, url = cluster.database(cluster.login(NEON_OWNER))
    for _ in range(2):
        migrations.upgrade(url, [audit])
        migrations.check(url)
        with pytest.raises(migrations.MigrationError, match="other objects depend on it"):
            migrations.downgrade(url)
        migrations.downgrade(url, audit)
        migrations.downgrade(url)  # again: it completes what was interrupted
    migrations.upgrade(url, [audit])
    with cluster.cursor(name) as cursor:
        cursor.execute("DROP SCHEMA tasks_backend_audit CASCADE")
        cursor.execute("INSERT INTO tasks_backend.users VALUES ('u')")
        cursor.execute(
            "INSERT INTO tasks_backend.tasks (id, user_id, title)"
            " VALUES (gen_random_uuid(), 'u', 'nobody records this')"
        )
    migrations.check(url)


def test_a_change_and_its_entry_are_atomic(cluster: Cluster) -> None:
    """If the entry cannot be written, the change is rolled back; erasing always works."""
    (audit,) = plugin.load_plugins(["audit"])
    name, url = cluster.database(cluster.login(NEON_OWNER))
    migrations.upgrade(url, [audit])
    make = (
        "INSERT INTO tasks_backend.tasks (id, user_id, title) VALUES (gen_random_uuid(), 'u', 'x')"
    )
    with cluster.cursor(name) as cursor:
        cursor.execute("INSERT INTO tasks_backend.users VALUES ('u')")
        cursor.execute(make)
        cursor.execute(
            "ALTER TABLE tasks_backend_audit.entries ADD CHECK (action <> 'insert') NOT VALID"
        )
        with pytest.raises(Exception, match="violates check constraint"):
            cursor.execute(make)
        assert rows(cursor) == (1, 1)
        cursor.execute("DELETE FROM tasks_backend.users")
        assert rows(cursor) == (0, 0)


def rows(cursor: Any) -> tuple[int, int]:
    """The number of tasks and of entries."""
    cursor.execute(
        "SELECT (SELECT count(*) FROM tasks_backend.tasks),"
        " (SELECT count(*) FROM tasks_backend_audit.entries)"
    )
    ((tasks, entries),) = cursor.fetchall()
    return tasks, entries
