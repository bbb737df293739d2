"""Quotas: exact for small limits, within a hundredth for large ones, and cheap."""

import contextlib
import itertools
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import psycopg2
import pytest
from psycopg2.extensions import parse_dsn
from support.plan_cases import NEW
from support.plans import Messages
from support.proxy import PostgresProxy

from tasks_backend import Settings, create_app
from tasks_backend.db import migrations
from tasks_backend.tasks import quota, quota_statements, statements
from tasks_backend.tasks.quota import Limit
from tasks_backend.testing.databases import NEON_OWNER, Cluster
from tasks_backend.testing.service import User, problem, served
from tasks_backend.testing.signing import Signer
from tasks_backend.testing.waiting import until

TASKS = "/api/v1/tasks"
FILL = """
INSERT INTO tasks_backend.users (id) VALUES (%(sub)s) ON CONFLICT DO NOTHING;
INSERT INTO tasks_backend.tasks (id, user_id, title)
SELECT uuidv7(), %(sub)s, 'Task ' || n FROM generate_series(1, %(count)s) AS n
"""
NewLimited = Callable[..., User]


@pytest.fixture
def limited(settings: Settings, signer: Signer) -> Iterator[NewLimited]:
    """Makes a user of a new service with these limits; with `like`, of a second process."""
    with contextlib.ExitStack() as running:

        def make(*, like: User | None = None, **limits: Any) -> User:
            sub = like.sub if like else secrets.token_hex(16)
            url = running.enter_context(served(create_app(settings.model_copy(update=limits))))
            headers = {"Authorization": f"Bearer {signer.token(sub)}"}
            client = httpx2.Client(base_url=url, headers=headers, timeout=60)
            return User(sub, running.enter_context(client))

        yield make


def create(user: User, key: str | None = None, title: str = "x") -> httpx2.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return user.client.post(TASKS, json={"title": title}, headers=headers)


def toggle(user: User, task_id: str, key: str | None = None, **headers: str) -> httpx2.Response:
    headers |= {"Idempotency-Key": key} if key else {}
    return user.client.post(f"{TASKS}/{task_id}/toggle", headers=headers)


def refused(response: httpx2.Response, *words: str) -> None:
    detail = problem(response, 409, "quota_exceeded")["detail"]
    assert all(word in detail for word in words), detail
    assert "retry-after" not in response.headers, "no client repeats it by itself"


@pytest.fixture
def rows(cluster: Cluster, database: str) -> Iterator[Any]:
    """A superuser's cursor in the services' database."""
    with cluster.cursor(parse_dsn(database)["dbname"]) as cursor:
        yield cursor


def tasks_of(rows: Any, user: User) -> int:
    rows.execute("SELECT count(*) FROM tasks_backend.tasks WHERE user_id = %s", (user.sub,))
    return int(rows.fetchone()[0])


@pytest.mark.parametrize("limit", [1, 3, 100])
@pytest.mark.parametrize("keyed", [True, False])
def test_a_small_limit_is_exact(limited: NewLimited, rows: Any, limit: int, *, keyed: bool) -> None:
    user = limited(max_tasks_per_user=limit)
    answers = [create(user, f"k-{n}" if keyed else None) for n in range(limit)]
    assert {answer.status_code for answer in answers} == {201}
    for n in range(5):
        refused(create(user, f"more-{n}" if keyed else None), "tasks", "Delete some")
    assert tasks_of(rows, user) == limit


def test_once_below_the_limit_a_create_succeeds_at_once(limited: NewLimited) -> None:
    user = limited(max_tasks_per_user=3)
    tasks = [create(user).json()["id"] for _ in range(3)]
    for _ in range(3):
        refused(create(user))
        refused(create(user, "k"), "tasks")
        assert user.client.delete(f"{TASKS}/{tasks.pop()}").status_code == 204
        made = create(user, secrets.token_hex(4))
        assert made.status_code == 201
        tasks.append(made.json()["id"])


def test_a_refused_create_leaves_its_key_unused(limited: NewLimited) -> None:
    user = limited(max_tasks_per_user=1)
    first = create(user, "first")
    refused(create(user, "k"))
    user.client.delete(first.headers["location"])
    made = create(user, "k")
    assert made.status_code == 201
    assert "idempotency-replayed" not in made.headers


def test_at_the_limit_an_earlier_create_is_still_answered(limited: NewLimited) -> None:
    user = limited(max_tasks_per_user=1, max_idempotency_keys_per_user=1)
    first = create(user, "k")
    refused(create(user, "another"))
    again = create(user, "k")
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotency-replayed"] == "true"


def test_at_the_limit_other_failures_come_first(limited: NewLimited, bob: User) -> None:
    user = limited(max_tasks_per_user=1, max_idempotency_keys_per_user=1)
    task = create(user, "k").json()["id"]
    problem(create(user, title=""), 422, "validation_error")
    problem(create(user, "k", title="other"), 422, "idempotency_key_reused")
    problem(toggle(user, task, "k"), 422, "idempotency_key_reused")
    problem(toggle(user, task, "new", **{"If-Match": '"9"'}), 412, "version_mismatch")
    problem(toggle(user, str(bob.create()["id"]), "new"), 403, "task_forbidden")
    problem(toggle(user, secrets.token_hex(16), "new"), 404, "task_not_found")
    refused(toggle(user, task, "new"), "keys")
    refused(toggle(user, task, "new", **{"If-Match": '"1"'}), "keys")


def test_at_the_limit_all_other_operations_work(limited: NewLimited) -> None:
    user = limited(max_tasks_per_user=1, max_idempotency_keys_per_user=1)
    task = create(user, "k").json()["id"]
    refused(create(user))
    assert toggle(user, task).json()["completed"] is True
    assert user.client.patch(f"{TASKS}/{task}", json={"title": "y"}).status_code == 200
    assert user.client.get(TASKS).json()["items"][0]["title"] == "y"
    assert user.client.delete(f"{TASKS}/{task}").status_code == 204


def test_keys_are_bounded_until_they_expire(limited: NewLimited, rows: Any) -> None:
    user = limited(max_idempotency_keys_per_user=3)
    task = create(user, "a").json()["id"]
    assert toggle(user, task, "b").status_code == 200
    assert create(user, "c").status_code == 201
    for _ in range(2):
        refused(create(user, "d"), "keys")
        refused(toggle(user, task, "e"), "keys")
    assert create(user).status_code == 201, "without a key"
    rows.execute(
        "UPDATE tasks_backend.idempotency_keys SET expires_at = now()"
        " WHERE user_id = %s AND key = 'b'",
        (user.sub,),
    )
    assert toggle(user, task, "e").status_code == 200
    refused(create(user, "f"), "keys")


def test_each_user_has_a_separate_limit(limited: NewLimited, bob: User) -> None:
    user = limited(max_tasks_per_user=1, max_idempotency_keys_per_user=1)
    assert create(bob, "k").status_code == create(bob).status_code == 201
    assert create(user, "k").status_code == 201
    refused(create(user))


def test_zero_means_unlimited(limited: NewLimited, rows: Any) -> None:
    user = limited(max_tasks_per_user=0, max_idempotency_keys_per_user=0)
    rows.execute(FILL, {"sub": user.sub, "count": 100_001})
    for n in range(3):
        made = create(user, f"k-{n}")
        assert made.status_code == 201
        assert toggle(user, made.json()["id"], f"t-{n}").status_code == 200
    user = limited(max_tasks_per_user=0, max_idempotency_keys_per_user=1)
    assert create(user, "k").status_code == create(user).status_code == 201
    refused(create(user, "l"), "keys")


@pytest.mark.parametrize("limit", [1, 7, 40])
@pytest.mark.parametrize("keyed", [True, False])
def test_concurrent_creates_of_two_processes_do_not_exceed_a_limit(
    limited: NewLimited, rows: Any, limit: int, *, keyed: bool
) -> None:
    """Even the first ones of a user, before the row in `users` exists."""
    one = limited(max_tasks_per_user=limit)
    both = (one, limited(like=one, max_tasks_per_user=limit))
    with ThreadPoolExecutor(16) as pool:
        sent = [
            pool.submit(create, both[n % 2], f"k-{n}" if keyed else None) for n in range(limit + 32)
        ]
        counted = Counter(answer.result().status_code for answer in sent)
    assert counted == {201: limit, 409: 32}
    assert tasks_of(rows, one) == limit


def test_concurrent_keys_do_not_exceed_their_limit(limited: NewLimited) -> None:
    user = limited(max_idempotency_keys_per_user=20)
    task = create(user).json()["id"]
    with ThreadPoolExecutor(16) as pool:
        sent = [pool.submit(toggle, user, task, f"t-{n}") for n in range(30)]
        sent += [pool.submit(create, user, f"c-{n}") for n in range(30)]
        counted = Counter(answer.result().status_code for answer in sent)
    assert counted[409] == 40
    assert counted[200] + counted[201] == 20


@pytest.mark.parametrize("limit", [2000, 100_000])
@pytest.mark.parametrize("is_known", [True, False])
def test_a_large_limit_holds_within_a_hundredth_after_an_import(
    limited: NewLimited, rows: Any, limit: int, *, is_known: bool
) -> None:
    """Even if the rows are imported while a process has cached the user's count."""
    user = limited(max_tasks_per_user=limit)
    made = 25 if is_known else 0  # enough that they were counted
    for _ in range(made):
        assert create(user).status_code == 201
    rows.execute(FILL, {"sub": user.sub, "count": limit - made - 5})
    answers = iter(lambda: create(user).status_code, 409)
    assert set(itertools.islice(answers, limit // 100)) == {201}
    total = tasks_of(rows, user)
    assert limit <= total <= limit * 1.01
    for _ in range(3):
        refused(create(user))
        refused(create(user, secrets.token_hex(4)))
    assert tasks_of(rows, user) == total


def test_writes_that_wait_for_a_count_hold_one_connection(
    limited: NewLimited, settings: Settings, signer: Signer, cluster: Cluster, database: str
) -> None:
    """Another process counts this user's rows for long: the pool's second connection stays free."""
    user = limited(max_tasks_per_user=3, pool_size=2, pool_timeout=0.0)
    headers = {"Authorization": f"Bearer {signer.token(secrets.token_hex(16))}"}
    name = parse_dsn(database)["dbname"]
    with (
        contextlib.closing(psycopg2.connect(cluster.url_of(name, "postgres"))) as other,
        ThreadPoolExecutor(4) as pool,
        cluster.cursor(name) as cursor,
    ):
        lock = "SELECT pg_advisory_xact_lock(x'7461736b'::int, hashtext(%s))"
        other.cursor().execute(lock, (user.sub,))
        sent = [pool.submit(create, user) for _ in range(4)]
        until(lambda: waiting(cursor) == 1)
        for _ in range(20):
            assert user.client.get(TASKS, headers=headers).status_code == 200
            assert waiting(cursor) == 1
        other.rollback()
        assert Counter(answer.result().status_code for answer in sent) == {201: 3, 409: 1}


def waiting(cursor: Any) -> int:
    """Count the sessions of this database that wait for a lock."""
    cursor.execute(
        "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
        " WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()"
    )
    return int(cursor.fetchone()[0])


def test_a_lowered_limit_holds(limited: NewLimited, rows: Any) -> None:
    user = limited()
    for _ in range(12):
        assert create(user).status_code == 201
    lowered = limited(like=user, max_tasks_per_user=10)
    refused(create(lowered))
    assert tasks_of(rows, user) == 12


def writes_until_counted(limit: Limit, user: str) -> int:
    for writes in range(1_000_000):
        if not limit.take_uncounted(user):
            return writes
    raise AssertionError("never")


@pytest.mark.parametrize(
    ("most", "left", "uncounted"),
    [
        (100_000, 99_000, 500),
        (100_000, 6_400, 100),
        (100_000, 63, 0),
        (2_000, 1_000, 10),
        (199, 199, 0),
        (1, 1, 0),
    ],
)
def test_the_number_of_uncounted_writes(most: int, left: int, uncounted: int) -> None:
    limit = Limit(most)
    assert writes_until_counted(limit, "x") == most // 5000
    assert writes_until_counted(limit, "x") == 0, "until it has been counted"
    limit.set_remaining("x", left)
    assert writes_until_counted(limit, "x") == uncounted
    assert uncounted <= min(left / 64, most / 200)
    limit.set_remaining("x", 0)
    assert [limit.take_uncounted("x") for _ in range(3)] == [False] * 3


def test_the_number_of_cached_users_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota, "KNOWN_USERS", 2)
    limit = Limit(100_000)
    limit.set_remaining("a", 0)
    limit.set_remaining("b", 0)
    assert not limit.take_uncounted("a"), "and is the last who was seen"
    assert limit.take_uncounted("c")
    assert not limit.take_uncounted("a")
    assert limit.take_uncounted("b"), "who was forgotten"


def test_counting_adds_less_than_a_twentieth_to_a_creation(cluster: Cluster) -> None:
    """For a user with 1,000 tasks, in pages of tables and indexes, as counted by the server."""
    name, url = cluster.database(cluster.login(NEON_OWNER))
    migrations.upgrade(url)
    with cluster.cursor(name) as cursor:
        cursor.execute(FILL, {"sub": "x", "count": 1000})
        cursor.execute("VACUUM (ANALYZE)")
    with contextlib.closing(psycopg2.connect(url)) as connection:
        messages = Messages(connection.cursor())
        plain = messages.counts(statements.CREATE, "x", **NEW)
        counting = messages.counts(quota_statements.CREATE_COUNTED, "x", max_tasks=100_000, **NEW)
    assert counting.blocks > plain.blocks
    limit = Limit(100_000)
    limit.set_remaining("x", 99_000)
    uncounted = writes_until_counted(limit, "x")
    share = (counting.blocks - plain.blocks) / (uncounted + 1) / plain.blocks
    assert share < 0.05


@pytest.fixture
def watched(
    proxy: PostgresProxy, settings: Settings, signer: Signer
) -> Iterator[tuple[User, PostgresProxy]]:
    limits = {"max_tasks_per_user": 3, "max_idempotency_keys_per_user": 3}
    app = create_app(settings.model_copy(update={"database_url": proxy.url, **limits}))
    sub = secrets.token_hex(16)
    headers = {"Authorization": f"Bearer {signer.token(sub)}"}
    with served(app) as url, httpx2.Client(base_url=url, headers=headers, timeout=30) as client:
        yield User(sub, client), proxy


@pytest.mark.proves("SC-006")
def test_counting_needs_no_extra_message_and_a_refusal_at_most_one(
    watched: tuple[User, PostgresProxy],
) -> None:
    user, proxy = watched
    task = create(user).json()["id"]
    steps: list[tuple[Callable[[], httpx2.Response], int, int]] = [
        (lambda: create(user), 201, 1),
        (lambda: create(user, "a"), 201, 1),
        (lambda: create(user, "a"), 201, 1),
        (lambda: toggle(user, task, "b"), 200, 1),
        (lambda: toggle(user, task, "b"), 200, 1),
        (lambda: toggle(user, task, "c"), 200, 1),
        (lambda: create(user), 409, 1),
        (lambda: create(user, "d"), 409, 2),
        (lambda: toggle(user, task, "d"), 409, 2),
    ]
    for send, status, messages in steps:
        proxy.messages.clear()
        assert send().status_code == status
        assert proxy.messages == {"Q": messages}
