"""A plugin's own resource, and its routes below a task, made of the public pieces alone."""

import secrets
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from fastapi import APIRouter
from sqlalchemy import bindparam, func, insert, literal, select
from support import notes
from support.proxy import PostgresProxy

from tasks_backend import Plugin, PluginError, Settings, create_app
from tasks_backend.db import migrations
from tasks_backend.resources import KeyedWrite
from tasks_backend.testing.databases import NEON_OWNER, Cluster
from tasks_backend.testing.service import problem, served
from tasks_backend.testing.signing import Signer

MIGRATION = """
from alembic import op

from tasks_backend import row_level_security

revision, down_revision = "0001", None


def upgrade():
    op.execute('''
        CREATE TABLE tasks_backend_notes.notes (
            id uuid PRIMARY KEY, text text NOT NULL, version bigint NOT NULL DEFAULT 1,
            user_id text NOT NULL REFERENCES tasks_backend.users ON DELETE CASCADE,
            task_id uuid REFERENCES tasks_backend.tasks ON DELETE CASCADE,
            updated_at timestamptz NOT NULL DEFAULT now()
        )
    ''')
    op.execute(row_level_security(
        "tasks_backend_notes.notes", ["SELECT", "INSERT", "UPDATE", "DELETE"]))
"""
NOTES, TASKS = "/api/v1/notes", "/api/v1/tasks"


@pytest.fixture(scope="module")
def proxy(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresProxy]:
    directory = tmp_path_factory.mktemp("notes")
    (directory / "0001_notes.py").write_text(MIGRATION)
    _, url = cluster.database(cluster.login(NEON_OWNER))
    migrations.upgrade(url, [Plugin("notes", migrations=directory)])
    with PostgresProxy(url) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def base(settings: Settings, proxy: PostgresProxy) -> Iterator[str]:
    settings = settings.model_copy(update={"database_url": proxy.url})
    with served(create_app(settings, plugins=[notes.plugin])) as url:
        yield url


@pytest.fixture
def user(base: str, signer: Signer) -> Iterator[Callable[[], httpx2.Client]]:
    made: list[httpx2.Client] = []

    def make() -> httpx2.Client:
        headers = {"Authorization": f"Bearer {signer.token(secrets.token_hex(16))}"}
        made.append(httpx2.Client(base_url=base, headers=headers, timeout=30))
        return made[-1]

    yield make
    for client in made:
        client.close()


User = Callable[[], httpx2.Client]


@pytest.mark.proves("FR-020")
def test_a_resource_keeps_the_promises_of_tasks(user: User) -> None:
    ann, ben = user(), user()
    created = ann.post(NOTES, json={"text": "one"})
    note, path = created.json(), f"{NOTES}/{created.json()['id']}"
    assert (created.status_code, created.headers["etag"]) == (201, '"1"')
    assert ann.get(path).json() == note
    assert ann.get(path).json() == ann.get(path.replace("v1", "v2")).json()
    for client in (ben,):
        problem(client.get(path), 404, "note_not_found")
        problem(client.patch(path, json={"text": "x"}), 404, "note_not_found")
        problem(client.delete(path), 404, "note_not_found")
    problem(ann.patch(path, json={"text": ""}), 422, "validation_error")
    problem(ann.patch(path, content=b"{}"), 415, "unsupported_media_type")
    problem(ben.patch(path, json={"text": ""}), 404, "note_not_found")
    stale = ann.patch(path, json={"text": "two"}, headers={"If-Match": '"7"'})
    assert problem(stale, 412, "version_mismatch")["detail"] == "The note has changed."
    problem(ann.delete(path, headers={"If-Match": "7"}), 422, "validation_error")
    changed = ann.patch(path, json={"text": "two"}, headers={"If-Match": '"1"'})
    assert (changed.json()["text"], changed.headers["etag"]) == ("two", '"2"')
    problem(ann.delete(path, headers={"If-Match": '"1"'}), 412, "version_mismatch")
    assert ann.delete(path).status_code == 204
    problem(ann.delete(path), 404, "note_not_found")


@pytest.mark.proves("FR-020")
def test_pages_of_a_resource_have_each_row_once(user: User) -> None:
    ann = user()
    made = [ann.post(NOTES, json={"text": str(number)}).json()["id"] for number in range(5)]
    found: list[str] = []
    cursor: dict[str, Any] = {}
    while True:
        page = ann.get(NOTES, params={"limit": 2, **cursor}).json()
        found += [note["id"] for note in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert found == made[::-1]
    problem(ann.get(NOTES, params={"cursor": "x"}), 400, "invalid_cursor")
    problem(ann.get(f"{NOTES}?limit=1&limit=2"), 422, "validation_error")


@pytest.mark.proves("FR-020")
@pytest.mark.parametrize("below_a_task", [False, True])
def test_a_keyed_write_happens_once_in_one_message(
    user: User, proxy: PostgresProxy, below_a_task: bool
) -> None:
    ann, ben = user(), user()
    path = NOTES
    if below_a_task:
        path = f"{TASKS}/{ann.post(TASKS, json={'title': 'x'}).json()['id']}/notes"
    headers = {"Idempotency-Key": "k"}
    assert ann.get(path).status_code == 200  # opens the connection
    messages = proxy.messages.total()
    first = ann.post(path, json={"text": "one"}, headers=headers)
    assert proxy.messages.total() == messages + 1
    again = ann.post(path, json={"text": "one"}, headers=headers)
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    problem(ann.post(path, json={"text": "two"}, headers=headers), 422, "idempotency_key_reused")
    problem(
        ann.post(path, json={"text": "x"}, headers={"Idempotency-Key": ""}), 422, "validation_error"
    )
    if not below_a_task:
        assert ben.post(path, json={"text": "two"}, headers=headers).status_code == 201
        assert len(ann.get(path).json()["items"]) == 1
        problem(
            ann.post(TASKS, json={"title": "x"}, headers=headers), 422, "idempotency_key_reused"
        )


@pytest.mark.proves("FR-020", "SC-003")
def test_a_task_of_another_user_is_answered_as_tasks_answers_it(
    user: User, proxy: PostgresProxy, base: str
) -> None:
    ann, ben = user(), user()
    task = ann.post(TASKS, json={"title": "x"}).json()["id"]
    path = f"{TASKS}/{task}/notes"
    assert ann.get(path).json() == []
    messages = proxy.messages.total()
    assert ann.post(path, json={"text": "one"}).status_code == 201
    assert [note["text"] for note in ann.get(path).json()] == ["one"]
    assert proxy.messages.total() == messages + 2
    missing = path.replace(task, str(uuid4()))
    for key in ({}, {"Idempotency-Key": "k"}, {"Idempotency-Key": ""}):
        for text in ("x", ""):
            sent: dict[str, Any] = {"json": {"text": text}, "headers": key}
            problem(ben.post(path, **sent), 403, "task_forbidden")
            problem(ann.post(missing, **sent), 404, "task_not_found")
    for client, where in ((ben, path), (ben, missing), (ann, missing)):
        problem(client.get(where), 404, "task_not_found")
    problem(ann.get(path.replace(task, "x")), 422, "validation_error")
    problem(httpx2.get(base + path), 401, "missing_token")
    problem(ann.put(path), 405, "method_not_allowed")
    assert ann.get(path.replace("v1", "v2")).json() == ann.get(path).json()
    assert ann.delete(f"{TASKS}/{task}").status_code == 204
    problem(ann.get(path), 404, "task_not_found")


def test_a_key_of_a_refused_write_can_be_used_again(user: User) -> None:
    ann, ben = user(), user()
    task = ann.post(TASKS, json={"title": "x"}).json()["id"]
    sent: dict[str, Any] = {"json": {"text": "x"}, "headers": {"Idempotency-Key": "k"}}
    problem(ben.post(f"{TASKS}/{task}/notes", **sent), 403, "task_forbidden")
    assert ben.post(NOTES, **sent).status_code == 201


def test_a_keyed_write_may_have_literals_of_any_name() -> None:
    """The service's own statements of the message have literals, too."""
    text = func.coalesce(func.pg_advisory_xact_lock(7), bindparam("param_1"), "none")
    KeyedWrite(
        lambda first: (
            insert(notes.notes)
            .from_select(["text"], select(text).where(first))
            .returning(notes.c.id)
        )
    )


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"key": bindparam("key")}, "'key' is the service's: give yours another name"),
        ({}, r"the write returns nothing: add returning\(...\)"),
    ],
)
def test_a_keyed_write_is_checked_at_import(columns: dict[str, Any], sentence: str) -> None:
    def work(first: Any) -> Any:
        values = [columns.get("key", literal("x"))]
        made = insert(notes.notes).from_select(["text"], select(*values).where(first))
        return made.returning(notes.c.id) if columns else made

    with pytest.raises(ValueError, match=sentence):
        KeyedWrite(work)


async def nothing() -> None:
    raise NotImplementedError


def router_of(path: str) -> APIRouter:
    router = APIRouter()
    router.add_api_route(path, nothing, methods=["POST"])
    return router


@pytest.mark.parametrize(
    ("plugin", "sentence"),
    [
        (
            lambda: Plugin("toggle", task_routers={"v1": router_of("")}),
            "takes the place of .*toggle, which tasks has",
        ),
        (
            lambda: Plugin("a", task_routers={"v1": router_of("")}, public=True),
            "routes below a task are never public",
        ),
        (lambda: Plugin("a", task_routers={"1": router_of("")}), "'1' is no version"),
        (lambda: Plugin("a", task_routers={"v1": router_of("/../../x")}), "is not below"),
    ],
)
def test_routes_below_a_task_that_cannot_be_stop_the_start(
    settings: Settings, plugin: Callable[[], Plugin], sentence: str
) -> None:
    with pytest.raises(PluginError, match=sentence):
        create_app(settings, plugins=[plugin()])


def test_the_document_has_the_routes_below_a_task(settings: Settings) -> None:
    paths = create_app(settings, plugins=[notes.plugin]).openapi()["paths"]
    operation = paths["/api/v1/tasks/{task_id}/notes"]["post"]
    assert operation["operationId"] == "tasks_notes_v1_add_to_task"
    assert operation["security"]
