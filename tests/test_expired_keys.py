"""Expired keys of all users are deleted in small batches, and only by the sweep."""

import contextlib
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx2
import psycopg2
import pytest
from support.plan_cases import ANY, NEW, ONCE
from support.plans import Messages
from support.proxy import PostgresProxy
from support.statements import STATEMENTS

from tasks_backend import Settings, create_app
from tasks_backend.db import migrations
from tasks_backend.testing.databases import NEON_OWNER, PLAIN_OWNER, SUPERUSER, Cluster
from tasks_backend.testing.service import User, served
from tasks_backend.testing.signing import Signer

TASKS = "/api/v1/tasks"
AT_ONCE = 10
GONE = 100_000
PLANT = """
INSERT INTO tasks_backend.users (id) SELECT 'gone-' || n FROM generate_series(0, 999) AS n
ON CONFLICT DO NOTHING;
INSERT INTO tasks_backend.idempotency_keys
SELECT 'gone-' || n %% 1000, 'key-' || n, repeat('f', 64), gen_random_uuid(), gen_random_uuid(),
    'Task', NULL, false, 1, now(), now(),
    CASE WHEN n <= %(expired)s THEN now() - n * interval '1 second' ELSE now() + interval '1 day' END
FROM generate_series(1, %(expired)s + 1000) AS n
ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True)
class Deployment:
    cluster: Cluster
    database: str
    url: str
    user: User
    proxy: PostgresProxy

    def expired(self) -> int:
        """Count the expired keys, and check that no valid key of another user is missing."""
        with self.cluster.cursor(self.database) as cursor:
            cursor.execute(
                "SELECT count(*) FILTER (WHERE expires_at <= now()),"
                " count(*) FILTER (WHERE expires_at > now() AND user_id LIKE 'gone-%')"
                " FROM tasks_backend.idempotency_keys"
            )
            expired, valid = cursor.fetchone()
        assert valid == 1000
        return int(expired)

    def write(self, key: str) -> httpx2.Response:
        return self.user.client.post(TASKS, json={"title": "x"}, headers={"Idempotency-Key": key})


@pytest.fixture(scope="module", params=["neon", "plain", "superuser"])
def deployment(
    request: pytest.FixtureRequest, cluster: Cluster, settings: Settings, signer: Signer
) -> Iterator[Deployment]:
    attributes = {"plain": PLAIN_OWNER, "superuser": SUPERUSER}.get(request.param, NEON_OWNER)
    name, url = cluster.database(cluster.login(attributes))
    migrations.upgrade(url)
    with cluster.cursor(name) as cursor:
        cursor.execute(PLANT, {"expired": GONE})
    headers = {"Authorization": f"Bearer {signer.token('sweeper')}"}
    with PostgresProxy(url) as proxy:
        app = create_app(settings.model_copy(update={"database_url": proxy.url}))
        with (
            served(app) as base,
            httpx2.Client(base_url=base, headers=headers, timeout=30) as client,
        ):
            yield Deployment(cluster, name, url, User("sweeper", client), proxy)


def test_each_write_with_a_key_deletes_a_few_expired_keys_of_any_user(
    deployment: Deployment,
) -> None:
    task = deployment.user.create()
    before = deployment.expired()
    deployment.proxy.messages.clear()
    for number in range(1, 6):
        assert deployment.write(secrets.token_hex(8)).status_code == 201
        assert deployment.expired() == before - AT_ONCE * number
    toggled = deployment.user.client.post(
        f"{TASKS}/{task['id']}/toggle", headers={"Idempotency-Key": secrets.token_hex(8)}
    )
    assert toggled.status_code == 200
    assert deployment.expired() == before - AT_ONCE * 6
    assert deployment.proxy.messages == {"Q": 6}
    deployment.user.create()
    assert deployment.expired() == before - AT_ONCE * 6, "without a key nothing is swept"


@pytest.mark.parametrize("name", ["CREATE_IDEMPOTENT", "TOGGLE_IDEMPOTENT"])
def test_a_sweep_reads_few_pages_however_many_keys_are_expired(
    deployment: Deployment, name: str
) -> None:
    """The server counts, with functions and policies; all keys fill 3,000 pages."""
    task = deployment.user.create()
    connection = psycopg2.connect(deployment.url)
    try:
        messages = Messages(connection.cursor())
        values = {
            **NEW,
            **ANY,
            **ONCE,
            **({"id": task["id"]} if name == "TOGGLE_IDEMPOTENT" else {}),
        }
        statement = STATEMENTS[f"{name}.uncounted"]
        counts = messages.counts(statement, "sweeper", **values)
    finally:
        connection.close()
    assert not +counts.sequential_scans
    assert counts.blocks <= 150


def test_concurrent_sweeps_do_not_wait_for_each_other(deployment: Deployment) -> None:
    before = deployment.expired()
    with ThreadPoolExecutor(16) as pool:
        writes = [pool.submit(deployment.write, secrets.token_hex(8)) for _ in range(64)]
    assert {write.result().status_code for write in writes} == {201}
    assert deployment.expired() == before - AT_ONCE * 64


def test_keys_locked_by_another_transaction_are_skipped(deployment: Deployment) -> None:
    before = deployment.expired()
    connection = psycopg2.connect(deployment.cluster.url_of(deployment.database, "postgres"))
    try:
        connection.cursor().execute(
            "SELECT FROM tasks_backend.idempotency_keys WHERE expires_at <= now()"
            " ORDER BY expires_at LIMIT 25 FOR UPDATE"
        )
        assert deployment.write(secrets.token_hex(8)).status_code == 201
    finally:
        connection.close()
    assert deployment.expired() == before - AT_ONCE


def test_only_the_function_sees_other_users_keys_and_it_returns_nothing(
    deployment: Deployment,
) -> None:
    """A request cannot delete other users' expired keys itself, with or without the setting."""
    before = deployment.expired()
    with deployment.cluster.cursor(deployment.database) as cursor:
        cursor.execute(
            "SELECT set_config('role', 'tasks_app', false), set_config('app.user_id', 'x', false),"
            " set_config('tasks_backend.delete_expired', 'on', false)"
        )
        cursor.execute("DELETE FROM tasks_backend.idempotency_keys RETURNING key")
        assert cursor.fetchall() == []
        cursor.execute("SELECT tasks_backend.delete_expired_keys()")
        assert cursor.fetchall() == [("",)]
        cursor.execute("SELECT count(*) FROM tasks_backend.idempotency_keys")
        assert cursor.fetchone() == (0,)
    assert deployment.expired() == before - AT_ONCE
    connection = psycopg2.connect(deployment.url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT tasks_backend.delete_expired_keys()")
            cursor.execute("SELECT current_setting('tasks_backend.delete_expired')")
            assert cursor.fetchone() == ("off",), "also for the rest of the transaction"
    finally:
        connection.close()


def test_with_forced_policies_even_a_defect_cannot_delete_valid_keys(cluster: Cluster) -> None:
    """The function runs without its condition: only the policy protects the keys."""
    name, url = cluster.database(cluster.login(PLAIN_OWNER))
    migrations.upgrade(url)
    with cluster.cursor(name) as cursor:
        cursor.execute(PLANT, {"expired": 5})
        cursor.execute("SELECT pg_get_functiondef('tasks_backend.delete_expired_keys'::regproc)")
        (definition,) = cursor.fetchone()
        assert definition.count("WHERE expires_at <= now()") == 1
        cursor.execute(definition.replace("WHERE expires_at <= now()", ""))
        with contextlib.closing(psycopg2.connect(url)) as connection, connection:
            connection.cursor().execute(
                "SELECT set_config('app.user_id', 'x', true);"
                " SELECT tasks_backend.delete_expired_keys()"
            )
        cursor.execute(
            "SELECT count(*), min(expires_at) > now() FROM tasks_backend.idempotency_keys"
        )
        assert cursor.fetchone() == (1000, True)
