"""The list: order, filter, keyset pages, and invalid queries."""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from psycopg2.extensions import parse_dsn

from tasks_backend.testing.databases import Cluster
from tasks_backend.testing.service import User, problem

TASKS = "/api/v1/tasks"


def walk(user: User, **query: Any) -> list[list[dict[str, Any]]]:
    """All pages of a query, found through the Link header."""
    pages = []
    response = user.client.get(TASKS, params=query)
    while True:
        assert response.status_code == 200, response.text
        body = response.json()
        assert list(body) == ["items", "next_cursor", "total"]
        assert body["total"] is None
        pages.append(body["items"])
        link = response.links.get("next")
        assert (link is None) == (body["next_cursor"] is None)
        if link is None:
            return pages
        assert re.fullmatch(rf"{TASKS}\?(\w+=[\w-]+&?)+", link["url"])
        response = user.client.get(link["url"])


@pytest.mark.proves("FR-004", "US2-AC1")
def test_an_empty_list_is_an_empty_list(alice: User) -> None:
    response = alice.client.get(TASKS)
    empty: dict[str, Any] = {"items": [], "next_cursor": None, "total": None}
    assert (response.status_code, response.json()) == (200, empty)
    assert "link" not in response.headers


@pytest.mark.proves("US2-AC1", "FR-004", "FR-010")
def test_users_list_only_their_own_tasks(alice: User, bob: User) -> None:
    mine, theirs = alice.create(), bob.create()
    assert alice.client.get(TASKS).json()["items"] == [mine]
    assert bob.client.get(TASKS).json()["items"] == [theirs]


@pytest.mark.parametrize("order", ["desc", "asc"])
def test_pages_have_every_task_once_in_creation_order(alice: User, order: str) -> None:
    created = [alice.create(title=f"{number}") for number in range(7)]
    expected = created if order == "asc" else created[::-1]
    pages = walk(alice, limit=3, order=order)
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [task for page in pages for task in page] == expected


@pytest.mark.parametrize("time", ["12:00:00", "12:00:00.5", "12:00:00.12345", "12:00:00.000001"])
def test_a_list_writes_times_as_the_task_alone_does(
    alice: User, cluster: Cluster, database: str, time: str
) -> None:
    task_id = alice.create()["id"]
    with cluster.cursor(parse_dsn(database)["dbname"]) as cursor:
        cursor.execute(
            "UPDATE tasks_backend.tasks SET created_at = %(time)s, updated_at = %(time)s"
            " WHERE id = %(id)s",
            {"time": f"2026-01-09 {time}+00", "id": task_id},
        )
    alone = alice.client.get(f"{TASKS}/{task_id}").content
    listed = alice.client.get(TASKS).content
    assert alone in listed
    assert f'"2026-01-09T{time}'.encode() in listed


def test_newest_first_is_the_default(alice: User) -> None:
    first, second = alice.create(), alice.create()
    assert alice.client.get(TASKS).json()["items"] == [second, first]


def test_a_last_page_that_is_exactly_full_has_no_next(alice: User) -> None:
    for _ in range(3):
        alice.create()
    assert [len(page) for page in walk(alice, limit=3)] == [3]


@pytest.mark.parametrize("completed", [True, False])
def test_the_filter_applies_to_every_page(alice: User, completed: bool) -> None:
    tasks = [alice.create(completed=bool(number % 2)) for number in range(10)]
    pages = walk(alice, limit=2, completed=str(completed).lower())
    assert [task for page in pages for task in page] == [
        task for task in reversed(tasks) if task["completed"] is completed
    ]


def test_concurrent_creations_and_deletions_cause_no_gap_or_repetition(alice: User) -> None:
    created = [alice.create() for _ in range(6)]
    first = alice.client.get(TASKS, params={"limit": 2}).json()
    alice.create()
    alice.client.delete(f"{TASKS}/{first['items'][-1]['id']}")
    second = alice.client.get(TASKS, params={"limit": 4, "cursor": first["next_cursor"]}).json()
    assert second["items"] == created[3::-1]


def test_fifty_is_the_default_and_a_hundred_the_most(alice: User) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: alice.create(), range(101)))
    assert len(alice.client.get(TASKS).json()["items"]) == 50
    assert len(alice.client.get(TASKS, params={"limit": 100}).json()["items"]) == 100
    assert [len(page) for page in walk(alice, limit=100)] == [100, 1]


@pytest.mark.proves("FR-002")
@pytest.mark.parametrize(
    ("query", "field", "code"),
    [
        ("limit=0", "limit", "greater_than_equal"),
        ("limit=101", "limit", "less_than_equal"),
        ("limit=ten", "limit", "int_parsing"),
        ("limit=", "limit", "int_parsing"),
        ("limit=1e1", "limit", "int_parsing"),
        ("limit=1_0", "limit", "int_parsing"),
        ("limit=%2B5", "limit", "int_parsing"),
        ("limit=5.0", "limit", "int_parsing"),
        ("limit=5&limit=6", "limit", "repeated"),
        ("limit=" + "9" * 5000, "limit", "int_parsing_size"),
        ("completed=yes", "completed", "bool_parsing"),
        ("completed=1", "completed", "bool_parsing"),
        ("completed=True", "completed", "bool_parsing"),
        ("completed=", "completed", "bool_parsing"),
        ("count=1", "count", "bool_parsing"),
        ("q=x&q=y", "q", "repeated"),
        ("order=newest", "order", "literal_error"),
        ("user_id=bob", "", "extra_forbidden"),
        ("offset=1", "", "extra_forbidden"),
    ],
)
def test_an_invalid_query_is_refused(alice: User, query: str, field: str, code: str) -> None:
    body = problem(alice.client.get(f"{TASKS}?{query}"), 422, "validation_error")
    (error,) = body["errors"]
    assert (error["field"], error["location"], error["code"]) == (field, "query", code)


@pytest.mark.parametrize(
    "cursor",
    ["x", "", "AAAA", "%00", "é", "A" * 27, "A" * 5000, "01a1fbcc-25d9-7664-964d-e3c253f4"],
)
def test_a_forged_cursor_is_refused(alice: User, cursor: str) -> None:
    problem(alice.client.get(TASKS, params={"cursor": cursor}), 400, "invalid_cursor")


def test_a_cursor_belongs_to_its_query(alice: User) -> None:
    for _ in range(3):
        alice.create()
    cursor = alice.client.get(TASKS, params={"limit": 1}).json()["next_cursor"]
    for other in ({"order": "asc"}, {"completed": "false"}):
        response = alice.client.get(TASKS, params={"cursor": cursor, **other})
        problem(response, 400, "invalid_cursor")
    assert alice.client.get(TASKS, params={"cursor": cursor, "limit": 2}).status_code == 200


@pytest.mark.proves("SC-003", "EDGE-1")
def test_another_users_cursor_shows_none_of_their_tasks(alice: User, bob: User) -> None:
    for _ in range(2):
        alice.create()
    cursor = alice.client.get(TASKS, params={"limit": 1}).json()["next_cursor"]
    response = bob.client.get(TASKS, params={"cursor": cursor})
    assert (response.status_code, response.json()["items"]) == (200, [])
