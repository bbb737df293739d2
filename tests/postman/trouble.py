"""The fault conditions of the collection, really created, for the duration of a run."""

import contextlib
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import httpx2
import psycopg2
from support.key_server import failing_answer
from support.proxy import PostgresProxy

from tasks_backend import Settings, create_app
from tasks_backend.db import migrations
from tasks_backend.testing.databases import NEON_OWNER, Cluster
from tasks_backend.testing.key_server import KeyServer
from tasks_backend.testing.service import served
from tasks_backend.testing.signing import Signer
from tasks_backend.testing.waiting import until

Values = dict[str, str]
FOREVER = 300.0  # seconds: the maximum of the setting, longer than any run
SOON = 0.5  # seconds
KEY = "in-use"
SPOIL = """
CREATE FUNCTION tasks_backend.spoilt() RETURNS boolean LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'spoilt'; END $$;
CREATE POLICY spoilt ON tasks_backend.tasks AS RESTRICTIVE USING (tasks_backend.spoilt());
"""
CLAIM = """
INSERT INTO tasks_backend.idempotency_keys (user_id, key, fingerprint, attempt, task_id, title,
    description, completed, version, created_at, updated_at, expires_at)
SELECT user_id, %s, 'x', id, id, title, description, completed, version, created_at, updated_at,
    now() + interval '1 day'
FROM tasks_backend.tasks WHERE id = %s
"""


@dataclass(frozen=True)
class World:
    """The running servers of the tests."""

    cluster: Cluster
    database: str
    settings: Settings
    signer: Signer

    @contextlib.contextmanager
    def user(self, **changed: Any) -> Iterator[tuple[Values, httpx2.Client]]:
        """A service with these settings; yields the values of a run, and a client."""
        token = self.signer.token(secrets.token_hex(16))
        headers = {"Authorization": f"Bearer {token}"}
        app = create_app(self.settings.model_copy(update=changed))
        with (
            served(app) as url,
            httpx2.Client(base_url=url, headers=headers, timeout=FOREVER) as client,
        ):
            yield {"baseUrl": url, "token": token, "idempotencyKey": KEY}, client


def _task(client: httpx2.Client) -> str:
    response = client.post("/api/v1/tasks", json={"title": "Buy milk"})
    return str(response.raise_for_status().json()["id"])


@contextlib.contextmanager
def _database_away(world: World) -> Iterator[Values]:
    with (
        PostgresProxy(world.database) as proxy,
        world.user(database_url=proxy.url) as (values, client),
    ):
        task = _task(client)
        proxy.refuse()
        yield {**values, "taskId": task}


@contextlib.contextmanager
def _keys_away(world: World) -> Iterator[Values]:
    with KeyServer(failing_answer) as keys, world.user(jwks_url=keys.url) as (values, _):
        yield {**values, "taskId": secrets.token_hex(16)}


@contextlib.contextmanager
def _pool_held(world: World) -> Iterator[Values]:
    patient = {"request_timeout": FOREVER, "statement_timeout": FOREVER}
    with world.user(pool_size=1, pool_timeout=SOON, **patient) as (values, client):
        task = _task(client)
        with _locked(world, task), ThreadPoolExecutor(1) as pool:
            pool.submit(client.post, f"/api/v1/tasks/{task}/toggle")
            until(lambda: _waits_for_a_lock(world))
            try:
                yield {**values, "taskId": task}
            finally:
                _end_waiting(world)


@contextlib.contextmanager
def _network_frozen(world: World) -> Iterator[Values]:
    with (
        PostgresProxy(world.database) as proxy,
        world.user(database_url=proxy.url, request_timeout=SOON) as (values, client),
    ):
        task = _task(client)
        proxy.freeze()
        yield {**values, "taskId": task}


@contextlib.contextmanager
def _schema_spoilt(world: World) -> Iterator[Values]:
    name, url = world.cluster.database(world.cluster.login(NEON_OWNER))
    migrations.upgrade(url)
    with world.user(database_url=url) as (values, client):
        task = _task(client)
        with world.cluster.cursor(name) as cursor:
            cursor.execute(SPOIL)
        yield {**values, "taskId": task}


@contextlib.contextmanager
def _key_in_use(world: World) -> Iterator[Values]:
    with world.user() as (values, client):
        task = _task(client)
        with contextlib.closing(psycopg2.connect(world.database)) as other:
            other.cursor().execute(CLAIM, (KEY, task))
            yield {**values, "taskId": task}


@contextlib.contextmanager
def _quota_reached(world: World) -> Iterator[Values]:
    with world.user(max_tasks_per_user=1, max_idempotency_keys_per_user=1) as (values, client):
        headers = {"Idempotency-Key": "the-only-one"}
        body = {"title": "Buy milk"}
        made = client.post("/api/v1/tasks", json=body, headers=headers).raise_for_status()
        yield {**values, "taskId": str(made.json()["id"])}


@contextlib.contextmanager
def _locked(world: World, task: str) -> Iterator[None]:
    with contextlib.closing(psycopg2.connect(world.database)) as other:
        other.cursor().execute("SELECT FROM tasks_backend.tasks WHERE id = %s FOR UPDATE", (task,))
        yield


_WAITING = "FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


def _waits_for_a_lock(world: World) -> bool:
    with world.cluster.cursor() as cursor:
        cursor.execute(f"SELECT count(*) {_WAITING}")
        return bool(cursor.fetchone()[0])


def _end_waiting(world: World) -> None:
    with world.cluster.cursor() as cursor:
        cursor.execute(f"SELECT pg_cancel_backend(pid) {_WAITING}")


TROUBLES: dict[str, Callable[[World], AbstractContextManager[Values]]] = {
    "database_away": _database_away,
    "keys_away": _keys_away,
    "pool_held": _pool_held,
    "network_frozen": _network_frozen,
    "schema_spoilt": _schema_spoilt,
    "key_in_use": _key_in_use,
    "quota_reached": _quota_reached,
}
