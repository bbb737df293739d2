"""One user's tasks become another's: guests who sign up."""

import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from support.commands import invoked

from tasks_backend import Settings, create_app, row_level_security
from tasks_backend.db import migrations
from tasks_backend.testing.databases import NEON_OWNER, PLAIN_OWNER, SUPERUSER, Cluster
from tasks_backend.testing.service import User, served
from tasks_backend.testing.signing import Signer

TASKS = "/api/v1/tasks"


@dataclass(frozen=True)
class Deployment:
    cluster: Cluster
    database: str
    url: str
    base: str
    signer: Signer
    clients: list[httpx2.Client] = field(default_factory=list)

    def user(self) -> User:
        sub = f"move-{secrets.token_hex(8)}"
        headers = {"Authorization": f"Bearer {self.signer.token(sub)}"}
        self.clients.append(httpx2.Client(base_url=self.base, headers=headers, timeout=30))
        return User(sub, self.clients[-1])

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.cluster.cursor(self.database) as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())


@pytest.fixture(scope="module", params=["neon", "plain", "superuser", "least privileged"])
def deployment(
    request: pytest.FixtureRequest, cluster: Cluster, settings: Settings, signer: Signer
) -> Iterator[Deployment]:
    """The logins of docs/neon.md; a plugin's tables are in the database."""
    attributes = {"plain": PLAIN_OWNER, "superuser": SUPERUSER}.get(request.param, NEON_OWNER)
    owner = cluster.login(attributes)
    name, url = cluster.database(owner)
    migrations.upgrade(url)
    with cluster.cursor(name) as cursor:
        cursor.execute(f"SET ROLE {owner}; {PLUGIN_TABLES}")
    if request.param == "least privileged":
        login = cluster.login("NOINHERIT")
        with cluster.cursor() as cursor:
            cursor.execute(f"GRANT tasks_app TO {login}")
        url = cluster.url_of(name, login)
    with served(create_app(settings.model_copy(update={"database_url": url}))) as base:
        deployment = Deployment(cluster, name, url, base, signer)
        yield deployment
        for client in deployment.clients:
            client.close()


OWNER = "user_id text NOT NULL REFERENCES tasks_backend.users ON DELETE CASCADE"
TABLES = {
    # A row that references a task, a row that references that one, a key per user, and rows that stay.
    "label": "id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, {owner}, gone int,"
    " task_id uuid REFERENCES tasks_backend.tasks ON DELETE CASCADE, name text,"
    ' long int GENERATED ALWAYS AS (length(name)) STORED, "Weird, name" jsonb',
    "a_use": "label_id bigint REFERENCES tasks_backend_kit.label ON DELETE CASCADE, {owner}",
    "theme": "user_id text PRIMARY KEY REFERENCES tasks_backend.users, colour text",
    "log": "{owner}, line text",
}
PLUGIN_TABLES = (
    "CREATE SCHEMA tasks_backend_kit;"
    + ";".join(
        f"CREATE TABLE tasks_backend_kit.{name} ({columns.format(owner=OWNER)});"
        + row_level_security(
            f"tasks_backend_kit.{name}",
            ["SELECT", "INSERT"] if name == "log" else ["SELECT", "INSERT", "DELETE"],
        )
        for name, columns in TABLES.items()
    )
    + ";ALTER TABLE tasks_backend_kit.label DROP COLUMN gone"
)


def move(home: Path, deployment: Deployment, source: str, target: str, *more: str) -> Any:
    command = ("move-user", source, target, "--yes", *more)
    return invoked(home, *command, DATABASE_URL=deployment.url)


@pytest.mark.proves("FR-022")
def test_a_guests_tasks_become_the_users(deployment: Deployment, tmp_path: Path) -> None:
    """Same ids, times and versions; once; nobody else's. A repeated create finds its task."""
    guest, user, other = deployment.user(), deployment.user(), deployment.user()
    own, foreign = user.create(title="Own"), other.create()
    key = {"Idempotency-Key": "guest-1"}
    made = [guest.create(title="Ünïcode ☃", description='line\n\t"quoted", (x) \\')]
    made.append(guest.client.post(TASKS, json={"title": "Once"}, headers=key).json())
    toggled = guest.client.post(f"{TASKS}/{made[0]['id']}/toggle")
    made[0] = toggled.json()
    moved = move(tmp_path, deployment, guest.sub, user.sub)
    assert (moved.exit_code, moved.stdout, moved.stderr) == (0, "Moved 2 tasks.\n", "")
    items = user.client.get(TASKS, params={"order": "asc"}).json()["items"]
    assert items == [own, *({**task, "user_id": user.sub} for task in made)]
    read = user.client.get(f"{TASKS}/{made[0]['id']}")
    assert read.headers["ETag"] == toggled.headers["ETag"]
    assert guest.client.get(TASKS).json()["items"] == []
    assert other.client.get(TASKS).json()["items"] == [foreign]
    for person in (user, guest):
        again = person.client.post(TASKS, json={"title": "Once"}, headers=key)
        assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
        assert again.json()["id"] == made[1]["id"]
    repeated = move(tmp_path, deployment, guest.sub, user.sub)
    assert (repeated.exit_code, repeated.stdout) == (0, "Moved 0 tasks.\n")
    late = guest.create()
    assert move(tmp_path, deployment, guest.sub, user.sub).stdout == "Moved 1 task.\n"
    assert user.read(late["id"])["user_id"] == user.sub


def test_a_guest_becomes_a_user_who_has_nothing_yet(deployment: Deployment, tmp_path: Path) -> None:
    guest, user = deployment.user(), deployment.user()
    unknown = move(tmp_path, deployment, guest.sub, user.sub)
    nobody = "There is no such user: nothing to move.\n"
    assert (unknown.exit_code, unknown.stdout) == (0, nobody)
    users = "SELECT count(*) FROM tasks_backend.users"
    before = deployment.rows(users)
    task = guest.create()
    assert move(tmp_path, deployment, guest.sub, user.sub).stdout == "Moved 1 task.\n"
    assert user.read(task["id"]) == {**task, "user_id": user.sub}
    assert deployment.rows(users) == [(before[0][0] + 2,)]


def test_rows_of_plugins_move_with_the_tasks(deployment: Deployment, tmp_path: Path) -> None:
    guest, user = deployment.user(), deployment.user()
    user.create()
    task = guest.create()
    kit, who = "tasks_backend_kit", guest.sub
    weird = '{"a": [1, "x,\\"y"]}'
    with deployment.cluster.cursor(deployment.database) as cursor:
        cursor.execute(
            f'INSERT INTO {kit}.label (user_id, task_id, name, "Weird, name")'
            " VALUES (%s, %s, 'red, (green)', %s) RETURNING id",
            (who, task["id"], weird),
        )
        ((label,),) = cursor.fetchall()
        cursor.execute(f"INSERT INTO {kit}.a_use VALUES (%s, %s)", (label, who))
        cursor.execute(f"INSERT INTO {kit}.log VALUES (%s, 'line')", (who,))
        cursor.execute(f"INSERT INTO {kit}.theme VALUES (%s, 'red'), (%s, 'blue')", (who, user.sub))
    moved = move(tmp_path, deployment, guest.sub, user.sub)
    assert moved.exit_code == 0
    ((who_keeps_a_log,),) = deployment.rows(f"SELECT user_id FROM {kit}.log")
    kept = (
        ["theme"] if who_keeps_a_log == user.sub else ["log", "theme"]
    )  # the owner has all rights
    assert moved.stdout == f"Moved 1 task and {4 - len(kept)} rows of plugins.\n"
    assert moved.stderr == "".join(f"Not moved: the rows of {kit}.{name}.\n" for name in kept)
    assert who_keeps_a_log in {who, user.sub}
    labels = deployment.rows(
        f'SELECT user_id, task_id::text, name, long, "Weird, name"::text FROM {kit}.label'
        f" WHERE id = {label}"
    )
    assert labels == [(user.sub, task["id"], "red, (green)", 12, weird)]
    uses = f"SELECT user_id FROM {kit}.a_use WHERE label_id = {label}"
    assert deployment.rows(uses) == [(user.sub,)]
    themes = f"SELECT * FROM {kit}.theme WHERE user_id IN ('{who}', '{user.sub}') ORDER BY colour"
    assert deployment.rows(themes) == [(user.sub, "blue"), (who, "red")]


def test_nothing_moves_if_rows_would_be_lost(deployment: Deployment, tmp_path: Path) -> None:
    """Of a table that references tasks, and that requests may not read and write."""
    guest, user = deployment.user(), deployment.user()
    task = guest.create()
    with deployment.cluster.cursor(deployment.database) as cursor:
        cursor.execute(
            "CREATE TABLE public.note (task_id uuid REFERENCES tasks_backend.tasks ON DELETE CASCADE)"
        )
        cursor.execute("INSERT INTO public.note VALUES (%s)", (task["id"],))
        try:
            refused = move(tmp_path, deployment, guest.sub, user.sub)
        finally:
            cursor.execute("DROP TABLE public.note")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "note" in refused.stderr
    assert guest.read(task["id"]) == task


@pytest.mark.proves("FR-022")
def test_what_the_guest_writes_meanwhile_is_not_lost(
    deployment: Deployment, tmp_path: Path
) -> None:
    """Each acknowledged create and toggle is either moved or still the guest's."""
    guest, user = deployment.user(), deployment.user()
    first = guest.create()
    wrote, versions, stop = [first["id"]], [1], threading.Event()
    started = threading.Event()

    def write() -> None:
        while not stop.is_set():
            wrote.append(guest.create()["id"])
            toggled = guest.client.post(f"{TASKS}/{first['id']}/toggle")
            if toggled.status_code == 200:
                versions.append(int(toggled.headers["ETag"].strip('"')))
            else:
                assert toggled.status_code == 403  # it is the user's now
            if len(wrote) > 5:
                started.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert started.wait(60)
        for _ in range(5):
            assert move(tmp_path, deployment, guest.sub, user.sub).exit_code == 0
    finally:
        stop.set()
        writer.join()
    assert move(tmp_path, deployment, guest.sub, user.sub).exit_code == 0
    found = deployment.rows(
        f"SELECT id::text, version FROM tasks_backend.tasks WHERE user_id = '{user.sub}'"
    )
    assert {id_ for id_, _ in found} == {*wrote}
    assert dict(found)[first["id"]] == versions[-1]


def test_more_tasks_than_a_user_may_have_move_in_pages(
    deployment: Deployment, tmp_path: Path
) -> None:
    guest, user = deployment.user(), deployment.user()
    guest.create()
    with deployment.cluster.cursor(deployment.database) as cursor:
        cursor.execute(
            "INSERT INTO tasks_backend.tasks (id, user_id, title)"
            " SELECT gen_random_uuid(), %s, 'Task ' || n FROM generate_series(1, 2000) AS n",
            (guest.sub,),
        )
        cursor.execute(
            "INSERT INTO tasks_backend.idempotency_keys (user_id, key, fingerprint, attempt, expires_at)"
            " SELECT %s, 'key ' || n, '', gen_random_uuid(), now() + interval '1 day'"
            " FROM generate_series(1, 1001) AS n",
            (guest.sub,),
        )
    assert move(tmp_path, deployment, guest.sub, user.sub).stdout == "Moved 2001 tasks.\n"
    keys = f"SELECT count(*) FROM tasks_backend.idempotency_keys WHERE user_id = '{user.sub}'"
    assert deployment.rows(keys) == [(1001,)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a", "b"), "--yes"),
        (("a", "a", "--yes"), "same"),
        (("a", " b", "--yes"), "no token"),
        (("a", "", "--yes"), "no token"),
        (("a", "b" * 256, "--yes"), "no token"),
    ],
)
def test_a_wrong_or_unconfirmed_move_is_refused(
    database: str, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    refused = invoked(tmp_path, "move-user", *arguments, DATABASE_URL=database)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert message in refused.stderr
