"""Each kind of database failure gets its answer in bounded time and ends without a restart."""

import contextlib
import secrets
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import psycopg2
import pytest
from support.proxy import PostgresProxy

from tasks_backend import Settings, create_app
from tasks_backend.db import migrations
from tasks_backend.testing.databases import NEON_OWNER, Cluster
from tasks_backend.testing.service import User, problem, served, users
from tasks_backend.testing.signing import Signer
from tasks_backend.testing.waiting import until

TASKS = "/api/v1/tasks"


@pytest.fixture
def user(proxy: PostgresProxy, settings: Settings, signer: Signer) -> Iterator[User]:
    sub = secrets.token_hex(16)
    hurried = {
        "database_url": proxy.url,
        "request_timeout": 2.0,
        "statement_timeout": 1.0,
        "connect_timeout": 1.0,
        "pool_size": 4,  # of which one user has two
        "pool_timeout": 0.2,
    }
    headers = {"Authorization": f"Bearer {signer.token(sub)}"}
    with (
        served(create_app(settings.model_copy(update=hurried))) as url,
        httpx2.Client(base_url=url, headers=headers, timeout=30) as client,
    ):
        yield User(sub, client)


def sessions_of(proxy: PostgresProxy, action: str) -> str:
    login = psycopg2.extensions.parse_dsn(proxy.url)["user"]
    return f"SELECT {action} FROM pg_stat_activity WHERE usename = '{login}'"


@pytest.mark.proves("EDGE-4", "FR-012")
def test_an_unreachable_database_is_a_503_until_it_returns(
    user: User, proxy: PostgresProxy
) -> None:
    task = user.create()
    proxy.refuse()
    for method, path in (("GET", TASKS), ("POST", f"{TASKS}/{task['id']}/toggle")):
        problem(user.client.request(method, path), 503, "database_unavailable")
    problem(user.client.get("/readyz"), 503, "database_unavailable")
    assert user.client.get("/livez").status_code == 200
    proxy.accept()
    assert user.read(task["id"]) == task
    assert user.client.get("/readyz").json() == {"status": "ready", "keys": True}


@pytest.mark.proves("EDGE-4", "FR-012")
def test_after_a_start_without_a_database_requests_get_503_until_it_is_there(
    settings: Settings, signer: Signer, database: str
) -> None:
    with PostgresProxy(database) as proxy:
        proxy.refuse()
        app = create_app(settings.model_copy(update={"database_url": proxy.url}))
        headers = {"Authorization": f"Bearer {signer.token('early')}"}
        with served(app) as url, httpx2.Client(base_url=url, headers=headers) as client:
            problem(client.get(TASKS), 503, "database_unavailable")
            proxy.accept()
            assert client.get(TASKS).status_code == 200


@pytest.mark.proves("EDGE-4", "SC-001")
def test_connections_closed_while_idle_cause_no_error(
    user: User, proxy: PostgresProxy, cluster: Cluster
) -> None:
    task = user.create()
    with cluster.cursor() as cursor:
        cursor.execute(sessions_of(proxy, "pg_terminate_backend(pid)"))
    proxy.wait_until_closed()
    assert user.client.post(f"{TASKS}/{task['id']}/toggle").json()["completed"] is True


@pytest.mark.proves("EDGE-4", "FR-012")
def test_a_network_that_drops_everything_is_a_504_at_the_deadline(
    user: User, proxy: PostgresProxy
) -> None:
    task = user.create()
    proxy.freeze()
    began = time.monotonic()
    problem(user.client.get(f"{TASKS}/{task['id']}"), 504, "deadline_exceeded")
    assert time.monotonic() - began < 10, "the deadline is 2 s"
    proxy.thaw()
    proxy.cut()
    assert user.read(task["id"]) == task


@pytest.mark.proves("FR-012")
def test_a_statement_timeout_is_a_504_and_the_connection_is_kept(
    user: User, proxy: PostgresProxy, database: str
) -> None:
    task = user.create()
    path = f"{TASKS}/{task['id']}"
    other = psycopg2.connect(database)
    try:
        with other.cursor() as cursor:
            cursor.execute(
                "SELECT FROM tasks_backend.tasks WHERE id = %s FOR UPDATE", (task["id"],)
            )
            connections = proxy.connections
            problem(user.client.patch(path, json={"title": "x"}), 504, "deadline_exceeded")
    finally:
        other.close()
    assert user.client.patch(path, json={"title": "x"}).status_code == 200
    assert proxy.connections == connections


@pytest.mark.proves("EDGE-4", "SC-001")
@pytest.mark.parametrize("keyed", [True, False])
def test_an_interrupted_write_is_retried_only_with_a_key(
    user: User, proxy: PostgresProxy, cluster: Cluster, database: str, keyed: bool
) -> None:
    """Its outcome is unknown, so without a key only the client may decide to retry."""
    task = user.create()
    headers = {"Idempotency-Key": "k"} if keyed else {}
    other = psycopg2.connect(database)
    try:
        with other.cursor() as cursor, ThreadPoolExecutor(1) as pool:
            cursor.execute(
                "SELECT FROM tasks_backend.tasks WHERE id = %s FOR UPDATE", (task["id"],)
            )
            path = f"{TASKS}/{task['id']}/toggle"
            answer = pool.submit(user.client.post, path, headers=headers)
            waiting = sessions_of(proxy, "count(*)") + " AND wait_event_type = 'Lock'"
            with cluster.cursor() as watching:
                while True:
                    watching.execute(waiting)
                    if watching.fetchone()[0]:
                        break
                    time.sleep(0.01)
            proxy.cut()
            other.rollback()
            response = answer.result(30)
    finally:
        other.close()
    if keyed:
        assert (response.status_code, response.json()["completed"]) == (200, True)
    else:
        problem(response, 503, "database_unavailable")


@pytest.mark.proves("FR-012")
def test_requests_beyond_a_users_share_of_the_pool_are_refused_at_once(
    user: User, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Two statements use the user's share; a third is refused with Retry-After, and counted."""
    task = user.create()
    path = f"{TASKS}/{task['id']}"
    other = psycopg2.connect(database)
    try:
        with other.cursor() as cursor, ThreadPoolExecutor(6) as pool:
            cursor.execute(
                "SELECT FROM tasks_backend.tasks WHERE id = %s FOR UPDATE", (task["id"],)
            )
            answers = list(
                pool.map(lambda _: user.client.patch(path, json={"title": "x"}), range(6))
            )
    finally:
        other.close()
    codes = sorted(answer.json()["code"] for answer in answers)
    assert codes == ["deadline_exceeded"] * 2 + ["overloaded"] * 4
    assert not [line for line in caplog.records if getattr(line, "code", "") == "overloaded"]
    until(lambda: any(line.startswith("4 requests waited long") for line in caplog.messages))
    for answer in answers:
        if answer.status_code == 503:
            problem(answer, 503, "overloaded")
    assert user.client.patch(path, json={"title": "x"}).status_code == 200


def test_a_disconnect_frees_the_database_connection(
    settings: Settings, signer: Signer, database: str
) -> None:
    """With a pool of one, the next request is served while the statement is still blocked."""
    patient = {"pool_size": 1, "pool_timeout": 60.0, "request_timeout": 60.0}
    app = create_app(settings.model_copy(update={**patient, "statement_timeout": 60.0}))
    headers = {"Authorization": f"Bearer {signer.token(secrets.token_hex(16))}"}
    other = psycopg2.connect(database)
    with served(app) as base, httpx2.Client(base_url=base, headers=headers, timeout=30) as client:
        user = User("", client)
        task, another = user.create(), user.create()
        try:
            with other.cursor() as cursor:
                cursor.execute(
                    "SELECT FROM tasks_backend.tasks WHERE id = %s FOR UPDATE", (task["id"],)
                )
                for _ in range(3):
                    with pytest.raises(httpx2.TimeoutException):
                        client.patch(f"{TASKS}/{task['id']}", json={"title": "x"}, timeout=0.5)
                assert user.read(another["id"]) == another
        finally:
            other.close()


@pytest.mark.proves("FR-012")
def test_slow_statements_of_one_user_leave_connections_to_others(
    settings: Settings, signer: Signer, database: str
) -> None:
    app = create_app(settings.model_copy(update={"pool_size": 4, "pool_timeout": 0.0}))
    with (
        served(app) as base,
        users(base, signer) as new_user,
        contextlib.closing(psycopg2.connect(database)) as other,
        ThreadPoolExecutor(6) as executor,
    ):
        alice, bob = new_user(), new_user()
        path = f"{TASKS}/{alice.create(title='x')['id']}/toggle"
        with other.cursor() as cursor:
            cursor.execute(
                "SELECT FROM tasks_backend.tasks WHERE user_id = %s FOR UPDATE", [alice.sub]
            )
            slow = [executor.submit(alice.client.post, path) for _ in range(6)]
            until(lambda: sum(one.done() for one in slow) == 4)
            assert bob.client.get(TASKS).status_code == 200
            other.rollback()
        answers = sorted(one.result().status_code for one in slow)
        assert answers == [200, 200, 503, 503, 503, 503]


def test_a_disconnect_removes_the_request_from_the_queue(
    settings: Settings, signer: Signer, database: str
) -> None:
    app = create_app(settings.model_copy(update={"pool_size": 1, "pool_timeout": 60.0}))
    headers = {"Authorization": f"Bearer {signer.token(secrets.token_hex(16))}"}
    other = psycopg2.connect(database)
    with served(app) as base, httpx2.Client(base_url=base, headers=headers, timeout=30) as client:
        try:
            with other.cursor() as cursor, ThreadPoolExecutor(1) as executor:
                cursor.execute("LOCK TABLE tasks_backend.tasks IN ACCESS EXCLUSIVE MODE")
                first = executor.submit(client.get, TASKS)
                while not app.state.database.pool.semaphore.held:
                    time.sleep(0.01)
                for _ in range(3):
                    with pytest.raises(httpx2.TimeoutException):
                        httpx2.get(base + TASKS, headers=headers, timeout=0.5)
                give_up = time.monotonic() + 20
                while app.state.database.pool.semaphore.waiting:
                    assert time.monotonic() < give_up, "they stand in line for ever"
                    time.sleep(0.01)
                other.close()
                assert first.result(30).status_code == 200
        finally:
            other.close()


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (
            "ALTER DATABASE {database} SET default_transaction_read_only = on",
            503,
            "database_unavailable",
        ),
        ("ALTER TABLE tasks_backend.tasks RENAME TO lost", 503, "database_unavailable"),
    ],
)
def test_a_read_only_database_or_a_missing_table_is_a_503(
    cluster: Cluster, settings: Settings, signer: Signer, fault: str, status: int, code: str
) -> None:
    name, url = cluster.database(cluster.login(NEON_OWNER))
    migrations.upgrade(url)
    with cluster.cursor(name) as cursor:
        cursor.execute(fault.format(database=name))
    headers = {"Authorization": f"Bearer {signer.token('x')}"}
    app = create_app(settings.model_copy(update={"database_url": url}))
    with served(app) as base, httpx2.Client(base_url=base, headers=headers) as client:
        problem(client.post(TASKS, json={"title": "x"}), status, code)


@pytest.mark.proves("EDGE-4")
@pytest.mark.parametrize("state", ["not migrated", "missing"])
def test_a_database_that_is_missing_or_not_migrated_is_a_503(
    cluster: Cluster, settings: Settings, signer: Signer, state: str
) -> None:
    name, url = cluster.database(cluster.login("NOBYPASSRLS"))
    if state == "missing":
        with cluster.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {name}")
    headers = {"Authorization": f"Bearer {signer.token('x')}"}
    app = create_app(settings.model_copy(update={"database_url": url}))
    with served(app) as base, httpx2.Client(base_url=base, headers=headers) as client:
        problem(client.get(TASKS), 503, "database_unavailable")
        problem(client.get("/readyz"), 503, "database_unavailable")


def test_no_state_of_a_request_stays_on_its_connection(
    settings: Settings, signer: Signer, database: str
) -> None:
    """One connection, many users, a third of the requests fail: no user sees another's data."""
    one = settings.model_copy(update={"pool_size": 1, "pool_timeout": 30.0})
    with served(create_app(one)) as url:
        barrier = threading.Barrier(8)

        def live(number: int) -> None:
            sub = f"leak-{secrets.token_hex(8)}"
            headers = {"Authorization": f"Bearer {signer.token(sub)}"}
            with httpx2.Client(base_url=url, headers=headers, timeout=60) as client:
                barrier.wait(30)
                mine: list[str] = []
                for turn in range(25):
                    if turn % 3 == 2:
                        client.patch(
                            f"{TASKS}/{mine[-1]}", json={"title": "x"}, headers={"If-Match": '"9"'}
                        )
                        continue
                    mine.append(client.post(TASKS, json={"title": sub}).json()["id"])
                    items = client.get(TASKS, params={"limit": 100}).json()["items"]
                    assert [item["id"] for item in items] == mine[::-1]
                    assert {item["user_id"] for item in items} == {sub}

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(live, range(8)))
