"""Search, totals, and changes of all tasks that a query selects (contract 1.1)."""

import contextlib
import secrets
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx2
import psycopg2
import pytest
from psycopg2.extensions import parse_dsn
from support.plans import Messages

from tasks_backend.db.statements import Statement
from tasks_backend.tasks.account_statements import ERASE
from tasks_backend.tasks.bulk_statements import DELETE_ALL_IDEMPOTENT, UPDATE_ALL_IDEMPOTENT
from tasks_backend.tasks.idempotent_statements import TOGGLE_IDEMPOTENT
from tasks_backend.testing.databases import Cluster
from tasks_backend.testing.service import User, problem
from tasks_backend.testing.waiting import until

TASKS = "/api/v1/tasks"
NO_KEY: dict[str, str] = {}


def titles(user: User, **query: Any) -> list[str]:
    """The titles that a query selects, on all pages."""
    found: list[str] = []
    response = user.client.get(TASKS, params=query)
    while True:
        assert response.status_code == 200, response.text
        found += [task["title"] for task in response.json()["items"]]
        if "next" not in response.links:
            return found
        response = user.client.get(response.links["next"]["url"])


def change(user: User, body: Any = None, key: str = "", **query: Any) -> httpx2.Response:
    """PATCH with a body, DELETE without one."""
    headers = {"Idempotency-Key": key} if key else {}
    method = "DELETE" if body is None else "PATCH"
    return user.client.request(method, TASKS, params=query, json=body, headers=headers)


@pytest.mark.proves("FR-013")
def test_a_search_looks_in_title_and_description_and_ignores_case(alice: User) -> None:
    alice.create(title="Buy MILK")
    alice.create(title="Call", description="about the Milkman\nand his dog")
    alice.create(title="Bread", description="no m i l k")
    alice.create(title="Ärger", description=None)
    assert titles(alice, q="milk") == ["Call", "Buy MILK"]
    assert titles(alice, q=" mIlK ", order="asc") == ["Buy MILK", "Call"]
    assert titles(alice, q="ärger") == ["Ärger"]
    assert titles(alice, q="man\r\nand") == ["Call"]
    assert titles(alice, q="nothing of that") == []


@pytest.mark.proves("FR-013")
@pytest.mark.parametrize(
    "text", ["%", "_", "\\", "%%", "a_c", "\\%", "'", "--", "\\'", "100%", '"']
)
def test_no_character_of_a_search_is_special(alice: User, text: str) -> None:
    alice.create(title=f"before {text} after")
    alice.create(title="abc 1000 x")
    assert titles(alice, q=text) == [f"before {text} after"]


@pytest.mark.proves("FR-013", "FR-002")
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "string_too_short"),
        (" \t\n", "string_too_short"),
        ("x" * 201, "string_too_long"),
        ("a\0b", "control_character"),
        ("a\x07", "control_character"),
        ("\x1ca", "control_character"),
    ],
)
def test_an_invalid_search_is_refused(alice: User, text: str, code: str) -> None:
    for response in (
        alice.client.get(TASKS, params={"q": text}),
        change(alice, {"completed": True}, completed="false", q=text),
        change(alice, completed="false", q=text),
    ):
        (error,) = problem(response, 422, "validation_error")["errors"]
        assert (error["field"], error["location"], error["code"]) == ("q", "query", code)


@pytest.mark.proves("FR-013", "FR-002")
@pytest.mark.parametrize("raw", ["%C4", "%FF", "%ED%A0%80", "%EF%BF%BD"])
def test_a_search_that_is_not_utf_8_is_refused(alice: User, raw: str) -> None:
    task = alice.create(title="\ufffd")
    for method in ("GET", "DELETE"):
        response = alice.client.request(method, f"{TASKS}?completed=false&q={raw}")
        (error,) = problem(response, 422, "validation_error")["errors"]
        assert (error["field"], error["code"]) == ("q", "string_unicode")
    assert alice.read(task["id"]) == task


@pytest.mark.proves("FR-013")
def test_a_search_of_the_maximum_length_is_accepted(alice: User) -> None:
    alice.create(title="🎉" * 200)
    assert titles(alice, q="  " + "🎉" * 200 + "\t") == ["🎉" * 200]


@pytest.mark.proves("FR-013", "FR-014")
def test_pages_of_a_search_have_each_match_once_and_the_same_total(alice: User) -> None:
    for number in range(9):
        alice.create(title=f"{'odd' if number % 2 else 'even'} {number}", completed=number > 5)
    query: dict[str, Any] = {"q": "odd", "limit": 2, "count": "true"}
    first = alice.client.get(TASKS, params=query)
    second = alice.client.get(first.links["next"]["url"])
    assert [task["title"] for task in first.json()["items"]] == ["odd 7", "odd 5"]
    assert [task["title"] for task in second.json()["items"]] == ["odd 3", "odd 1"]
    assert [page.json()["total"] for page in (first, second)] == [4, 4]
    assert second.json()["next_cursor"] is None
    assert titles(alice, q="odd", completed="true") == ["odd 7"]


@pytest.mark.proves("FR-014")
def test_a_total_is_the_number_of_selected_tasks(alice: User, bob: User) -> None:
    def total(**query: Any) -> Any:
        return alice.client.get(TASKS, params=query).json()["total"]

    bob.create(title="x")
    assert total(count="true") == 0
    for number in range(7):
        alice.create(title=f"x{number}", completed=number < 2)
    assert total(count="true", limit=3) == 7
    assert total(count="true", completed="true") == 2
    assert total(count="true", completed="false", q="x6") == 1
    assert total(count="true", q="nothing") == 0
    assert total() is None
    assert total(count="false") is None
    last = titles_cursor(alice)
    assert total(count="true", cursor=last, limit=1) == 7, "also on a page without tasks"


def titles_cursor(user: User) -> str:
    """The cursor of a page that has become empty, because its tasks were deleted."""
    page = user.client.get(TASKS, params={"limit": 6}).json()
    (rest,) = user.client.get(TASKS, params={"cursor": page["next_cursor"]}).json()["items"]
    user.client.delete(f"{TASKS}/{rest['id']}")
    user.create(title="x")
    cursor: str = page["next_cursor"]
    assert user.client.get(TASKS, params={"cursor": cursor}).json()["items"] == []
    return cursor


@pytest.mark.proves("FR-013")
def test_a_cursor_belongs_to_its_search_but_not_to_its_count(alice: User) -> None:
    for _ in range(3):
        alice.create(title="milk")
    cursor = alice.client.get(TASKS, params={"limit": 1, "q": "milk"}).json()["next_cursor"]
    for other in ({}, {"q": "mil"}, {"q": "Milk"}, {"q": "milk", "completed": "false"}):
        response = alice.client.get(TASKS, params={"cursor": cursor, **other})
        problem(response, 400, "invalid_cursor")
    for same in ({"q": "milk"}, {"q": " milk "}, {"q": "milk", "count": "true"}):
        assert alice.client.get(TASKS, params={"cursor": cursor, **same}).status_code == 200


@pytest.mark.proves("FR-015")
def test_a_bulk_change_changes_the_selected_tasks_and_counts_them(alice: User, bob: User) -> None:
    bobs = bob.create(title="milk")
    done = alice.create(title="milk", completed=True)
    open_ = [alice.create(title=title) for title in ("milk", "bread", "oat Milk")]
    response = change(alice, {"completed": True}, completed="false", q="milk")
    assert (response.status_code, response.json()) == (200, {"updated": 2})
    assert "idempotency-replayed" not in response.headers
    changed = [alice.client.get(f"{TASKS}/{task['id']}") for task in open_]
    assert [task.json()["completed"] for task in changed] == [True, False, True]
    assert [task.headers["etag"] for task in changed] == ['"2"', '"1"', '"2"']
    assert changed[0].json()["updated_at"] > open_[0]["updated_at"]
    assert alice.read(done["id"]) == done
    assert bob.read(bobs["id"]) == bobs
    assert change(alice, {"completed": True}, completed="false").json() == {"updated": 1}
    assert change(alice, {"completed": False}, completed="true").json() == {"updated": 4}
    assert change(alice, {"completed": False}, completed="true").json() == {"updated": 0}


@pytest.mark.proves("FR-015")
@pytest.mark.parametrize("completed", [True, False])
def test_tasks_that_already_are_so_are_not_changed(alice: User, completed: bool) -> None:
    task = alice.create(completed=completed)
    text = str(completed).lower()
    assert change(alice, {"completed": completed}, completed=text).json() == {"updated": 0}
    response = alice.client.get(f"{TASKS}/{task['id']}")
    assert (response.json(), response.headers["etag"]) == (task, '"1"')


@pytest.mark.proves("FR-015")
def test_a_bulk_deletion_deletes_the_selected_tasks_and_counts_them(alice: User, bob: User) -> None:
    bobs = bob.create(title="milk", completed=True)
    for title, completed in (("a milk", True), ("b", True), ("c milk", False)):
        alice.create(title=title, completed=completed)
    response = change(alice, completed="true", q="milk")
    assert (response.status_code, response.json()) == (200, {"deleted": 1})
    assert titles(alice) == ["c milk", "b"]
    assert change(alice, completed="true").json() == {"deleted": 1}
    assert change(alice, completed="true").json() == {"deleted": 0}
    assert titles(alice) == ["c milk"]
    assert bob.read(bobs["id"]) == bobs


@pytest.mark.proves("FR-015", "FR-002")
@pytest.mark.parametrize(
    ("query", "field", "code"),
    [
        ({}, "completed", "missing"),
        ({"q": "x"}, "completed", "missing"),
        ({"completed": ""}, "completed", "bool_parsing"),
        ({"completed": "True"}, "completed", "bool_parsing"),
        ({"completed": "1"}, "completed", "bool_parsing"),
        ({"completed": ["true", "true"]}, "completed", "repeated"),
        ({"completed": "true", "limit": "1"}, "", "extra_forbidden"),
        ({"completed": "true", "cursor": "x"}, "", "extra_forbidden"),
        ({"completed": "true", "user_id": "x"}, "", "extra_forbidden"),
    ],
)
def test_a_bulk_change_needs_a_valid_selection(
    alice: User, query: dict[str, Any], field: str, code: str
) -> None:
    alice.create(title="x", completed=True)
    before = alice.client.get(TASKS).json()
    for body in ({"completed": False}, None, {"completed": "no"}):
        (error,) = problem(change(alice, body, **query), 422, "validation_error")["errors"]
        assert (error["field"], error["location"], error["code"]) == (field, "query", code)
    assert alice.client.get(TASKS).json() == before


@pytest.mark.proves("FR-015", "FR-002")
@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({}, "completed", "missing"),
        ({"completed": None}, "completed", "bool_type"),
        ({"completed": "true"}, "completed", "bool_type"),
        ({"completed": 1}, "completed", "bool_type"),
        ({"completed": True, "title": "x"}, "", "extra_forbidden"),
        ([], "", "model_type"),
    ],
)
def test_a_bulk_change_sets_completed_and_nothing_else(
    alice: User, body: Any, field: str, code: str
) -> None:
    task = alice.create()
    response = change(alice, body, completed="false")
    (error,) = problem(response, 422, "validation_error")["errors"]
    assert (error["field"], error["location"], error["code"]) == (field, "body", code)
    assert alice.read(task["id"]) == task


@pytest.mark.proves("FR-015")
def test_a_bulk_change_accepts_the_media_types_of_patch(alice: User) -> None:
    for media_type, status in (
        ("application/json", 200),
        ("application/merge-patch+json", 200),
        ("text/plain", 415),
    ):
        response = alice.client.patch(
            TASKS,
            params={"completed": "true"},
            content=b'{"completed": true}',
            headers={"Content-Type": media_type},
        )
        assert response.status_code == status


def test_a_condition_on_a_selection_is_refused(alice: User) -> None:
    """A selection has no version, so no tag matches; ignoring the header would lose changes."""
    task = alice.create(completed=True)
    for tag, status, code in (
        ('"1"', 412, "version_mismatch"),
        ("1", 422, "validation_error"),
        ("*", 200, ""),
    ):
        for body in ({"completed": True}, None):
            response = alice.client.request(
                "DELETE" if body is None else "PATCH",
                TASKS,
                params={"completed": "true"},
                json=body,
                headers={"If-Match": tag},
            )
            if code:
                problem(response, status, code)
                assert alice.read(task["id"]) == task
            else:
                assert response.status_code == status


@pytest.mark.proves("FR-015", "SC-001")
def test_a_key_replays_the_count(alice: User) -> None:
    for _ in range(3):
        alice.create()
    first = change(alice, {"completed": True}, "k", completed="false")
    alice.create()
    again = change(alice, {"completed": True}, "k", completed="false")
    assert first.json() == again.json() == {"updated": 3}
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    deleted = change(alice, None, "d", completed="true")
    alice.create(completed=True)
    again = change(alice, None, "d", completed="true")
    assert deleted.json() == again.json() == {"deleted": 3}
    assert len(titles(alice)) == 2


@pytest.mark.proves("FR-015")
def test_a_key_belongs_to_one_bulk_change(alice: User) -> None:
    assert change(alice, {"completed": True}, "k", completed="false").json() == {"updated": 0}
    alice.create(title="x")
    others = [
        change(alice, {"completed": False}, "k", completed="false"),
        change(alice, {"completed": True}, "k", completed="true"),
        change(alice, {"completed": True}, "k", completed="false", q="x"),
        change(alice, None, "k", completed="false"),
        alice.client.post(TASKS, json={"title": "y"}, headers={"Idempotency-Key": "k"}),
    ]
    for response in others:
        problem(response, 422, "idempotency_key_reused")
    alice.client.post(
        TASKS, json={"title": "y"}, headers={"Idempotency-Key": "of a create".replace(" ", "-")}
    )
    problem(change(alice, None, "of-a-create", completed="false"), 422, "idempotency_key_reused")
    assert titles(alice) == ["y", "x"]


def test_a_user_without_tasks_may_use_a_key(alice: User) -> None:
    assert change(alice, None, "k", completed="false").json() == {"deleted": 0}
    assert change(alice, {"completed": True}, "l", completed="false").json() == {"updated": 0}


@pytest.mark.parametrize("key", [b"a b", b"\xe9", b"x" * 256])
def test_an_invalid_key_changes_nothing(alice: User, key: bytes) -> None:
    task = alice.create()
    headers = [(b"Idempotency-Key", key)]
    for method, body in (("PATCH", {"completed": True}), ("DELETE", None)):
        response = alice.client.request(
            method, TASKS, params={"completed": "false"}, json=body, headers=headers
        )
        (error,) = problem(response, 422, "validation_error")["errors"]
        assert (error["field"], error["location"]) == ("Idempotency-Key", "header")
    assert alice.read(task["id"]) == task


@pytest.mark.proves("FR-015", "SC-001")
def test_eight_concurrent_changes_with_one_key_happen_once(alice: User) -> None:
    for _ in range(5):
        alice.create()
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: change(alice, {"completed": True}, "k", completed="false"), range(8))
        )
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert {answer.json()["updated"] for answer in answers if answer.status_code == 200} == {5}
    assert Counter(answer.headers.get("idempotency-replayed") for answer in answers)[None] >= 1


@pytest.mark.proves("FR-015", "SC-001")
def test_concurrent_changes_of_the_same_tasks_are_whole_and_lose_nothing(alice: User) -> None:
    """Bulk changes beside toggles, patches and deletes: no deadlock reaches the client, and each
    task's version is 1 plus the number of its changes.
    """
    tasks = [alice.create(title=f"t{number}") for number in range(12)]

    def bulk(number: int) -> tuple[str, int]:
        to_true = bool(number % 2)
        key = secrets.token_hex(8) if number % 3 else ""
        response = change(
            alice, {"completed": to_true}, key, completed=str(not to_true).lower(), q="t"
        )
        assert response.status_code == 200, response.text
        return "bulk", response.json()["updated"]

    def single(number: int) -> tuple[str, int]:
        path = f"{TASKS}/{tasks[number % len(tasks)]['id']}"
        headers = {"Idempotency-Key": secrets.token_hex(8)} if number % 2 else {}
        response = alice.client.post(f"{path}/toggle", headers=headers)
        assert response.status_code == 200, response.text
        return "single", 1

    with ThreadPoolExecutor(8) as pool:
        runs = [pool.submit(bulk if number % 2 else single, number) for number in range(80)]
    changes = sum(run.result()[1] for run in runs)
    versions = [
        int(alice.client.get(f"{TASKS}/{task['id']}").headers["etag"].strip('"')) for task in tasks
    ]
    assert sum(version - 1 for version in versions) == changes


@pytest.mark.proves("FR-015")
def test_concurrent_deletions_count_each_task_once(alice: User) -> None:
    for _ in range(40):
        alice.create(completed=True)
    with ThreadPoolExecutor(6) as pool:
        counts = list(
            pool.map(lambda _: change(alice, completed="true").json()["deleted"], range(6))
        )
    assert sum(counts) == 40
    assert titles(alice) == []


@pytest.mark.proves("FR-015")
@pytest.mark.parametrize("bulk", [UPDATE_ALL_IDEMPOTENT.uncounted, DELETE_ALL_IDEMPOTENT.uncounted])
@pytest.mark.parametrize("other", [TOGGLE_IDEMPOTENT.uncounted, ERASE])
def test_a_bulk_change_has_no_deadlock(
    alice: User, cluster: Cluster, database: str, other: Statement, bulk: Statement
) -> None:
    """Both need one task and one key (of one name) or its user. The other message comes first."""
    task = alice.create()
    values: dict[str, Any] = {
        "id": task["id"],
        "any_version": True,
        "versions": [],
        "completed": False,
        "new_completed": True,
        "pattern": None,
        "key": "k",
        "fingerprint": "f",
        "ttl": timedelta(hours=1),
    }

    def send(message: Statement) -> None:
        with contextlib.closing(psycopg2.connect(database)) as connection, connection:
            Messages(connection.cursor()).send(
                message, alice.sub, **values, attempt=str(uuid.uuid4())
            )

    def waiting(count: int) -> Callable[[], bool]:
        def are() -> bool:
            watch.execute(
                "SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid)"
                " WHERE NOT granted AND datname = current_database()"
            )
            return bool(watch.fetchone() == (count,))

        return are

    name = parse_dsn(database)["dbname"]
    with (
        cluster.cursor(name) as holder,
        cluster.cursor(name) as watch,
        ThreadPoolExecutor(2) as pool,
    ):
        holder.execute("BEGIN")
        holder.execute("SELECT FROM tasks_backend.tasks WHERE id = %s FOR UPDATE", (task["id"],))
        first = pool.submit(send, other)
        until(waiting(1))
        second = pool.submit(send, bulk)
        until(waiting(2))
        holder.execute("COMMIT")
        first.result()
        second.result()
