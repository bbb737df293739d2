"""Idempotency-Key: a create or a toggle that is sent several times is executed once."""

import secrets
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import psycopg2
import pytest
from psycopg2.extensions import parse_dsn

from tasks_backend import Settings, create_app
from tasks_backend.testing.databases import Cluster
from tasks_backend.testing.service import NewUser, User, problem, served
from tasks_backend.testing.signing import Signer

TASKS = "/api/v1/tasks"


def create(user: User, key: str, **fields: Any) -> httpx2.Response:
    body = {"title": "Buy milk", **fields}
    return user.client.post(TASKS, json=body, headers={"Idempotency-Key": key})


def toggle(user: User, task_id: str, key: str, **headers: str) -> httpx2.Response:
    headers = {"Idempotency-Key": key, **headers}
    return user.client.post(f"{TASKS}/{task_id}/toggle", headers=headers)


def shown(response: httpx2.Response) -> tuple[Any, ...]:
    """What a client sees of an answer, without Idempotency-Replayed."""
    headers = response.headers
    return response.status_code, headers["etag"], headers.get("location"), response.content


@pytest.mark.proves("SC-001", "FR-011")
def test_a_repeated_create_gets_the_first_answer_again(alice: User) -> None:
    first = create(alice, "k")
    assert first.status_code == 201
    assert "idempotency-replayed" not in first.headers
    alice.client.patch(first.headers["location"], json={"title": "changed since"})
    again = create(alice, "k")
    assert shown(again) == shown(first)
    assert again.headers["idempotency-replayed"] == "true"
    assert len(alice.client.get(TASKS).json()["items"]) == 1


def test_a_repeated_create_makes_no_task_even_after_a_deletion(alice: User) -> None:
    first = create(alice, "k")
    alice.client.delete(first.headers["location"])
    assert shown(create(alice, "k")) == shown(first)
    assert alice.client.get(TASKS).json()["items"] == []


def test_a_repeated_toggle_flips_once(alice: User) -> None:
    task = alice.create()
    first, again = toggle(alice, task["id"], "k"), toggle(alice, task["id"], "k")
    assert first.json()["completed"] is True
    assert shown(again) == shown(first)
    assert again.headers["idempotency-replayed"] == "true"
    assert alice.read(task["id"]) == first.json()


def test_a_repeated_toggle_does_not_undo_later_changes(alice: User) -> None:
    task = alice.create()
    first = toggle(alice, task["id"], "k")
    alice.client.patch(f"{TASKS}/{task['id']}", json={"completed": False, "title": "later"})
    assert shown(toggle(alice, task["id"], "k")) == shown(first)
    assert (alice.read(task["id"])["completed"], alice.read(task["id"])["title"]) == (
        False,
        "later",
    )


def test_a_repeated_toggle_is_answered_although_its_version_is_outdated(alice: User) -> None:
    task = alice.create()
    first = toggle(alice, task["id"], "k", **{"If-Match": '"1"'})
    assert first.status_code == 200
    assert shown(toggle(alice, task["id"], "k", **{"If-Match": '"1"'})) == shown(first)


def test_a_stale_toggle_leaves_its_key_unused(alice: User) -> None:
    task = alice.create()
    problem(toggle(alice, task["id"], "k", **{"If-Match": '"7"'}), 412, "version_mismatch")
    response = toggle(alice, task["id"], "k", **{"If-Match": '"1"'})
    assert response.json()["completed"] is True
    assert "idempotency-replayed" not in response.headers


def test_a_key_belongs_to_one_request(alice: User) -> None:
    task = alice.create()
    create(alice, "k", title="one")
    for other in ({"title": "two"}, {"title": "one", "completed": True}, {"description": "one"}):
        problem(create(alice, "k", **other), 422, "idempotency_key_reused")
    problem(toggle(alice, task["id"], "k"), 422, "idempotency_key_reused")
    assert alice.read(task["id"]) == task
    assert create(alice, "k", title=" one ").status_code == 201, "spelled otherwise, but the same"


def test_a_key_of_a_toggle_is_bound_to_its_task(alice: User) -> None:
    one, two = alice.create(), alice.create()
    toggle(alice, one["id"], "k")
    problem(toggle(alice, two["id"], "k"), 422, "idempotency_key_reused")
    problem(create(alice, "k"), 422, "idempotency_key_reused")
    assert alice.read(two["id"]) == two


def test_existence_and_version_are_checked_before_the_key(alice: User) -> None:
    one, two = alice.create(), alice.create()
    toggle(alice, one["id"], "k")
    problem(toggle(alice, two["id"], "k", **{"If-Match": '"7"'}), 412, "version_mismatch")
    alice.client.delete(f"{TASKS}/{one['id']}")
    problem(toggle(alice, one["id"], "k"), 404, "task_not_found")


@pytest.mark.proves("SC-003")
def test_users_can_use_the_same_key(alice: User, bob: User) -> None:
    first, second = create(alice, "k"), create(bob, "k")
    assert (first.status_code, second.status_code) == (201, 201)
    assert "idempotency-replayed" not in second.headers
    assert first.json()["id"] != second.json()["id"]


def test_an_invalid_create_leaves_its_key_unused(alice: User) -> None:
    problem(create(alice, "k", title=""), 422, "validation_error")
    response = create(alice, "k")
    assert response.status_code == 201
    assert "idempotency-replayed" not in response.headers


@pytest.mark.parametrize(
    "key", ["!", "~" * 255, '"quoted"', "8e03978e-40d5-43dd-bc93-6894a57f9324"]
)
def test_a_key_is_any_visible_ascii(alice: User, key: str) -> None:
    assert create(alice, key).status_code == 201


@pytest.mark.parametrize("key", [b"", b"a b", b"\xe9", b"x" * 256, b"a\tb"])
def test_an_invalid_key_is_refused(alice: User, key: bytes) -> None:
    task = alice.create()
    for path, body in ((TASKS, {"title": "x"}), (f"{TASKS}/{task['id']}/toggle", None)):
        response = alice.client.post(path, json=body, headers={b"Idempotency-Key": key})
        (error,) = problem(response, 422, "validation_error")["errors"]
        assert (error["field"], error["location"]) == ("Idempotency-Key", "header")
    assert alice.client.get(TASKS).json()["items"] == [task]


def test_two_key_headers_are_refused(alice: User) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "a")]
    response = alice.client.post(TASKS, json={"title": "x"}, headers=headers)
    problem(response, 422, "validation_error")


@pytest.mark.proves("SC-001")
@pytest.mark.parametrize("round_", range(5))
def test_sixteen_concurrent_creates_with_one_key_make_one_task(
    new_user: NewUser, round_: int
) -> None:
    user = new_user()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: create(user, f"k-{round_}"), range(16)))
    assert len({shown(answer) for answer in answers}) == 1
    assert answers[0].status_code == 201
    replayed = Counter(answer.headers.get("idempotency-replayed") for answer in answers)
    assert replayed == {None: 1, "true": 15}
    assert len(user.client.get(TASKS).json()["items"]) == 1


@pytest.mark.proves("SC-001")
def test_sixteen_concurrent_toggles_with_one_key_flip_once(alice: User) -> None:
    task = alice.create()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: toggle(alice, task["id"], "k"), range(16)))
    assert len({shown(answer) for answer in answers}) == 1
    assert alice.client.get(f"{TASKS}/{task['id']}").headers["etag"] == '"2"'


def test_of_different_bodies_with_one_key_one_succeeds_and_the_rest_are_refused(
    alice: User,
) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: create(alice, "k", title=str(n)), range(8)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 422: 7}
    assert len(alice.client.get(TASKS).json()["items"]) == 1


def test_a_key_in_use_elsewhere_is_a_409_after_a_short_wait(alice: User, database: str) -> None:
    """The other request is an open transaction of the test."""
    task = alice.create()
    connection = psycopg2.connect(database)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO tasks_backend.idempotency_keys"
                " SELECT user_id, 'k', 'f', id, id, title, description, completed, version,"
                " created_at, updated_at, now() + interval '1 day'"
                " FROM tasks_backend.tasks WHERE id = %s",
                (task["id"],),
            )
            for response in (create(alice, "k"), toggle(alice, task["id"], "k")):
                problem(response, 409, "idempotency_in_progress")
                assert response.headers["retry-after"] == "1"
        connection.rollback()
    finally:
        connection.close()
    assert create(alice, "k").status_code == 201


@pytest.fixture
def rows(cluster: Cluster, database: str) -> Iterator[Any]:
    """A superuser's cursor in the service's database."""
    with cluster.cursor(parse_dsn(database)["dbname"]) as cursor:
        yield cursor


LONG = "\U0001f95b" * 10_000  # 40 kB


def test_the_key_of_a_toggle_does_not_copy_a_long_description(alice: User, rows: Any) -> None:
    task = alice.create(description=LONG)
    answers = [toggle(alice, task["id"], f"k-{n % 2}") for n in range(4)]
    rows.execute(
        "SELECT pg_column_size(k), pg_column_size(description)"
        " FROM tasks_backend.idempotency_keys AS k WHERE user_id = %s",
        (alice.sub,),
    )
    sizes = rows.fetchall()
    assert len(sizes) == 2
    assert all(size < 500 and description is None for size, description in sizes)
    assert shown(answers[2]) == shown(answers[0])
    assert shown(answers[3]) == shown(answers[1])
    assert {answer.json()["description"] for answer in answers} == {LONG}


@pytest.mark.parametrize("description", [None, "", "x" * 1000, "x" * 1001, LONG])
def test_a_repeated_toggle_returns_the_task_of_the_first_answer(
    alice: User, description: str | None
) -> None:
    """Later changes do not show, except in a description that is too long to be stored."""
    task = alice.create(description=description)
    first = toggle(alice, task["id"], "k")
    path = f"{TASKS}/{task['id']}"
    alice.client.patch(path, json={"title": "changed", "completed": False})
    assert shown(toggle(alice, task["id"], "k")) == shown(first)
    alice.client.patch(path, json={"description": "changed"})
    again = toggle(alice, task["id"], "k")
    if len(description or "") <= 1000:
        assert shown(again) == shown(first)
    else:
        assert again.json() == {**first.json(), "description": "changed"}
        assert again.headers["etag"] == first.headers["etag"]


def test_the_key_of_a_create_stores_its_request(alice: User) -> None:
    first = create(alice, "k", description=LONG)
    alice.client.patch(first.headers["location"], json={"description": None})
    assert shown(create(alice, "k", description=LONG)) == shown(first)


def expire(rows: Any, sub: str) -> None:
    rows.execute(
        "UPDATE tasks_backend.idempotency_keys SET expires_at = now() WHERE user_id = %s", (sub,)
    )


def test_an_expired_key_can_be_used_again_at_once(alice: User, rows: Any) -> None:
    task = alice.create()
    create(alice, "c")
    toggle(alice, task["id"], "t")
    expire(rows, alice.sub)
    second = create(alice, "c", title="another")
    assert (second.status_code, second.json()["title"]) == (201, "another")
    back = toggle(alice, task["id"], "t")
    assert back.json()["completed"] is False
    for answer in (second, back):
        assert "idempotency-replayed" not in answer.headers
    assert shown(create(alice, "c", title="another")) == shown(second)
    assert shown(toggle(alice, task["id"], "t")) == shown(back)


@pytest.mark.proves("SC-001")
def test_one_of_concurrent_requests_takes_over_an_expired_key(alice: User, rows: Any) -> None:
    create(alice, "k", title="the first")
    expire(rows, alice.sub)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: create(alice, "k", title="the second"), range(16)))
    assert len({shown(answer) for answer in answers}) == 1
    titles = [task["title"] for task in alice.client.get(TASKS).json()["items"]]
    assert titles == ["the second", "the first"]


def test_keys_expire_and_are_swept(settings: Settings, signer: Signer, database: str) -> None:
    sub = secrets.token_hex(16)
    brief = settings.model_copy(update={"idempotency_ttl": 0.001})
    headers = {"Authorization": f"Bearer {signer.token(sub)}"}
    with served(create_app(brief)) as url, httpx2.Client(base_url=url, headers=headers) as client:
        user = User(sub, client)
        first, second = create(user, "k"), create(user, "k", title="another")
        create(user, "other")
    assert (first.status_code, second.status_code) == (201, 201)
    connection = psycopg2.connect(database)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT key FROM tasks_backend.idempotency_keys WHERE user_id = %s", (sub,)
            )
            assert cursor.fetchall() == [("other",)]
    finally:
        connection.close()
