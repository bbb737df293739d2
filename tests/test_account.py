"""Exporting and erasing all data of a user, for every kind of deployment."""

import asyncio
import contextlib
import json
import os
import pty
import secrets
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from psycopg2.extensions import make_dsn, parse_dsn
from support.proxy import PostgresProxy
from typer.testing import CliRunner, Result

from tasks_backend import Settings, create_app
from tasks_backend.cli import app
from tasks_backend.db import migrations
from tasks_backend.tasks import account
from tasks_backend.testing.databases import NEON_OWNER, PLAIN_OWNER, SUPERUSER, Cluster
from tasks_backend.testing.service import User, served
from tasks_backend.testing.signing import Signer

TASKS = "/api/v1/tasks"
PASSWORD = "correct-horse-battery"
COMMAND = [sys.executable, "-m", "tasks_backend"]
NOBODY = "There is no such user: nothing to erase.\n"


@dataclass(frozen=True)
class Deployment:
    """A database, the URLs that its service uses, and two users."""

    cluster: Cluster
    database: str
    environment: dict[str, str]
    alice: User
    bob: User

    def rows(self, sub: str) -> tuple[int, ...]:
        """Count a user's rows in users, tasks and idempotency_keys."""
        with self.cluster.cursor(self.database) as cursor:
            cursor.execute(
                "SELECT (SELECT count(*) FROM tasks_backend.users WHERE id = %(sub)s),"
                " (SELECT count(*) FROM tasks_backend.tasks WHERE user_id = %(sub)s),"
                " (SELECT count(*) FROM tasks_backend.idempotency_keys WHERE user_id = %(sub)s)",
                {"sub": sub},
            )
            (counts,) = cursor.fetchall()
        return tuple(counts)


@pytest.fixture(scope="module", params=["neon", "plain", "superuser", "least privileged"])
def deployment(
    request: pytest.FixtureRequest, cluster: Cluster, settings: Settings, signer: Signer
) -> Iterator[Deployment]:
    """The last kind has only the login of docs/neon.md, which owns nothing."""
    attributes = {"plain": PLAIN_OWNER, "superuser": SUPERUSER}.get(request.param, NEON_OWNER)
    name, url = cluster.database(cluster.login(attributes))
    migrations.upgrade(url)
    environment = {"DATABASE_URL": url}
    if request.param == "least privileged":
        login = cluster.login("NOINHERIT")
        with cluster.cursor() as cursor:
            cursor.execute(f"GRANT tasks_app TO {login}")
        environment = {"DATABASE_URL": cluster.url_of(name, login), "DATABASE_URL_UNPOOLED": url}
    service = create_app(settings.model_copy(update={"database_url": environment["DATABASE_URL"]}))
    with served(service) as base:
        people = []
        for _ in range(2):
            sub = f"account-{secrets.token_hex(8)}"
            headers = {"Authorization": f"Bearer {signer.token(sub)}"}
            people.append(User(sub, httpx2.Client(base_url=base, headers=headers, timeout=30)))
        yield Deployment(cluster, name, environment, *people)
        for person in people:
            person.client.close()


def run(home: Path, *arguments: str, **variables: str) -> Result:
    """Run a command in this process, without a terminal and without other settings."""
    unset: dict[str, str | None] = dict.fromkeys(("DATABASE_URL", "DATABASE_URL_UNPOOLED"))
    with contextlib.chdir(home):
        return CliRunner().invoke(app, arguments, env={**unset, **variables})


def environment_of(home: Path, **variables: str) -> dict[str, str]:
    """The minimal environment of a separate process."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
    return {"PATH": "/usr/sbin:/sbin", "HOME": str(home), "COLUMNS": "200", **kept, **variables}


def make_tasks(user: User) -> list[dict[str, Any]]:
    """Three tasks in creation order: one created with a key, one changed later."""
    first = user.create(title="Ünïcode ☃", description='line\n\t"quoted" \\')
    headers = {"Idempotency-Key": secrets.token_hex(8)}
    second = user.client.post(TASKS, json={"title": "Once"}, headers=headers).json()
    third = user.create(completed=True)
    first = user.client.post(f"{TASKS}/{first['id']}/toggle").json()
    return [first, second, third]


def test_an_export_has_the_user_and_the_tasks_in_the_api_format(
    deployment: Deployment, tmp_path: Path
) -> None:
    tasks = make_tasks(deployment.alice)
    make_tasks(deployment.bob)
    exported = run(tmp_path, "export-user", deployment.alice.sub, **deployment.environment)
    assert (exported.exit_code, exported.stderr) == (0, "")
    document = json.loads(exported.stdout)
    assert list(document) == ["id", "created_at", "tasks"]
    assert document["id"] == deployment.alice.sub
    assert document["created_at"].endswith("Z")
    assert document["created_at"] <= tasks[0]["created_at"]
    assert document["tasks"] == tasks
    assert [list(task) for task in document["tasks"]] == [list(task) for task in tasks]
    assert deployment.bob.sub not in exported.stdout


def test_a_purge_erases_all_data_of_one_user_only(deployment: Deployment, tmp_path: Path) -> None:
    run(tmp_path, "purge-user", deployment.alice.sub, "--yes", **deployment.environment)
    make_tasks(deployment.alice)
    make_tasks(deployment.bob)
    assert deployment.rows(deployment.alice.sub) == (1, 3, 1)
    others = deployment.rows(deployment.bob.sub)
    command = ("purge-user", deployment.alice.sub, "--yes")
    purged = run(tmp_path, *command, **deployment.environment)
    assert (purged.exit_code, purged.stdout) == (0, "Erased the user and 3 tasks.\n")
    assert purged.stderr == ""
    assert deployment.rows(deployment.alice.sub) == (0, 0, 0)
    assert deployment.rows(deployment.bob.sub) == others
    assert deployment.alice.client.get(TASKS).json()["items"] == []
    again = run(tmp_path, *command, **deployment.environment)
    assert (again.exit_code, again.stdout, again.stderr) == (0, NOBODY, "")


def test_a_purged_user_can_create_tasks_again(deployment: Deployment, tmp_path: Path) -> None:
    deployment.alice.create()
    run(tmp_path, "purge-user", deployment.alice.sub, "--yes", **deployment.environment)
    deployment.alice.create()
    purged = run(tmp_path, "purge-user", deployment.alice.sub, "--yes", **deployment.environment)
    assert purged.stdout == "Erased the user and 1 task.\n"


def test_an_unknown_user_has_nothing_to_export(deployment: Deployment, tmp_path: Path) -> None:
    exported = run(tmp_path, "export-user", "nobody", **deployment.environment)
    assert (exported.exit_code, exported.stdout) == (1, "")
    assert exported.stderr.startswith("error: there is no such user")


@pytest.fixture
def filled(cluster: Cluster, database: str) -> tuple[str, str]:
    """A user with two tasks, and the name of the database; its owner is like Neon's."""
    sub, name = f"account-{secrets.token_hex(8)}", parse_dsn(database)["dbname"]
    with cluster.cursor(name) as cursor:
        cursor.execute("INSERT INTO tasks_backend.users (id) VALUES (%s)", (sub,))
        cursor.execute(
            "INSERT INTO tasks_backend.tasks (id, user_id, title)"
            " SELECT gen_random_uuid(), %s, 'Task ' || n FROM generate_series(1, 2) AS n",
            (sub,),
        )
    return sub, name


def tasks_of(cluster: Cluster, name: str, sub: str) -> int:
    with cluster.cursor(name) as cursor:
        cursor.execute("SELECT count(*) FROM tasks_backend.tasks WHERE user_id = %s", (sub,))
        ((count,),) = cursor.fetchall()
    return int(count)


def test_without_a_terminal_a_purge_needs_a_confirming_option(
    cluster: Cluster, database: str, filled: tuple[str, str], tmp_path: Path
) -> None:
    sub, name = filled
    refused = run(tmp_path, "purge-user", sub, DATABASE_URL=database)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "--yes" in refused.stderr
    assert tasks_of(cluster, name, sub) == 2


@pytest.mark.parametrize(
    ("answer", "code", "said", "left"),
    [("n", 1, "Aborted.", 2), ("y", 0, "Erased the user and 2 tasks.", 0)],
)
def test_in_a_terminal_a_purge_asks_for_confirmation(
    cluster: Cluster,
    database: str,
    filled: tuple[str, str],
    tmp_path: Path,
    *,
    answer: str,
    code: int,
    said: str,
    left: int,
) -> None:
    sub, name = filled
    terminal, end = pty.openpty()
    with os.fdopen(terminal, "w") as keyboard:
        process = subprocess.Popen(
            [*COMMAND, "purge-user", sub],
            stdin=end,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment_of(tmp_path, DATABASE_URL=database),
            cwd=tmp_path,
        )
        os.close(end)
        keyboard.write(f"{answer}\n")
        keyboard.flush()
        output, _ = process.communicate(timeout=60)
    assert f"Erase user {sub} and all their tasks, for good? [y/N]" in output
    assert said in output
    assert process.returncode == code
    assert tasks_of(cluster, name, sub) == left


def test_a_login_without_delete_on_users_erases_nothing(cluster: Cluster, tmp_path: Path) -> None:
    """An earlier release did not grant it. The purge is atomic, and says what helps (C11)."""
    name, url = cluster.database(cluster.login(SUPERUSER))
    migrations.upgrade(url)
    with cluster.cursor(name) as cursor:
        cursor.execute("INSERT INTO tasks_backend.users (id) VALUES ('u')")
        cursor.execute(
            "INSERT INTO tasks_backend.tasks (id, user_id, title)"
            " VALUES (gen_random_uuid(), 'u', 'kept')"
        )
        login = cluster.login("NOINHERIT")
        cursor.execute(f"GRANT tasks_app TO {login}")
        cursor.execute("REVOKE DELETE ON tasks_backend.users FROM tasks_app")
    command = ("purge-user", "u", "--yes")
    environment = {"DATABASE_URL": cluster.url_of(name, login)}
    refused = run(tmp_path, *command, **environment)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "lacks a right" in refused.stderr
    assert "run `tasks-backend migrate`" in refused.stderr
    assert tasks_of(cluster, name, "u") == 1
    migrations.upgrade(url)
    assert run(tmp_path, *command, **environment).stdout == "Erased the user and 1 task.\n"


@pytest.mark.parametrize("command", [("purge-user", "x", "--yes"), ("export-user", "x")])
def test_a_login_that_bypasses_the_policies_is_rejected(
    cluster: Cluster, database: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    url = cluster.url_of(parse_dsn(database)["dbname"], cluster.login("BYPASSRLS"))
    refused = run(tmp_path, *command, DATABASE_URL=url)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "row-level security" in refused.stderr


@pytest.mark.parametrize("command", [("purge-user", "x", "--yes"), ("export-user", "x")])
def test_an_unreachable_database_is_reported_in_one_line(
    database: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    with PostgresProxy(database) as proxy:
        proxy.refuse()
        url = make_dsn(proxy.url, password=PASSWORD)
        failed = run(tmp_path, *command, DATABASE_URL=url)
    assert (failed.exit_code, failed.stdout) == (1, "")
    assert len(failed.stderr.splitlines()) == 1
    assert failed.stderr.startswith(
        "error: the database did not do it: nothing listens at the address"
    )
    assert "doctor" in failed.stderr
    assert PASSWORD not in failed.stderr


@pytest.mark.parametrize("command", [("purge-user", "x", "--yes"), ("export-user", "x")])
def test_a_missing_setting_is_named(tmp_path: Path, command: tuple[str, ...]) -> None:
    failed = run(tmp_path, *command)
    assert (failed.exit_code, failed.stderr) == (2, "error: DATABASE_URL: is not set\n")


@pytest.mark.parametrize("command", ["purge-user", "export-user"])
def test_a_user_id_that_is_not_utf8_is_rejected(
    database: str, tmp_path: Path, command: str
) -> None:
    refused = run(tmp_path, command, os.fsdecode(b"\xff"), DATABASE_URL=database)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "no UTF-8 text" in refused.stderr


def peak_of_export(path: Path, database: str, sub: str) -> int:
    """The peak of Python's memory while it writes the document."""
    tracemalloc.start()
    try:
        with path.open("wb") as file:
            asyncio.run(account.export(database, sub, file))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_number_of_tasks(
    cluster: Cluster, database: str, filled: tuple[str, str], tmp_path: Path
) -> None:
    sub, name = filled
    path, peaks = tmp_path / "export.json", []
    for more in (2 * account.PAGE - 2, 18 * account.PAGE):
        with cluster.cursor(name) as cursor:
            cursor.execute(
                "INSERT INTO tasks_backend.tasks (id, user_id, title)"
                " SELECT gen_random_uuid(), %s, 'Task ' || n FROM generate_series(1, %s) AS n",
                (sub, more),
            )
        peaks.append(peak_of_export(path, database, sub))
    assert peaks[1] < 1.5 * peaks[0]
    ids = [task["id"] for task in json.loads(path.read_bytes())["tasks"]]
    assert len(set(ids)) == 20 * account.PAGE
    assert ids == sorted(ids)
