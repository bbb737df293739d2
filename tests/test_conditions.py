"""If-Match: a write applies only to the version that the client knows."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tasks_backend.testing.service import User, problem

WHOLE = {"title": "Bread", "description": None, "completed": True}
WRITES: list[Any] = [
    pytest.param("PATCH", "", {"title": "Bread"}, 200, id="patch"),
    pytest.param("PATCH", "", {}, 200, id="empty patch"),
    pytest.param("PUT", "", WHOLE, 200, id="put"),
    pytest.param("POST", "/toggle", None, 200, id="toggle"),
    pytest.param("DELETE", "", None, 204, id="delete"),
]


def send(user: User, task: dict[str, Any], method: str, suffix: str, body: Any, tag: str) -> Any:
    return user.client.request(
        method,
        f"/api/v1/tasks/{task['id']}{suffix}",
        json=body,
        headers=[(b"If-Match", tag.encode())],
    )


SUFFIXES = ("gzip", "br", "zstd", "deflate")


@pytest.mark.parametrize(
    "tag",
    ['"2"', '"1", "2"', '"9" ,"2",W/"1"', "*", 'W/"2"', ',, "2",', '"a,b", "2"', 'W/"2-gzip"']
    + [f'"2{dash}{coding}"' for coding in SUFFIXES for dash in ("-", "--")],
)
@pytest.mark.parametrize(("method", "suffix", "body", "status"), WRITES)
def test_a_write_with_a_matching_version_is_applied(
    alice: User, method: str, suffix: str, body: Any, status: int, tag: str
) -> None:
    task = alice.create()
    alice.client.patch(f"/api/v1/tasks/{task['id']}", json={"title": "Milk"})
    assert send(alice, task, method, suffix, body, tag).status_code == status


@pytest.mark.parametrize(
    "tag",
    [
        '"1"',
        '"1", "3"',
        'W/"1"',
        '"1-gzip"',
        '"2-lzma"',
        '"2-"',
        '"2-gzip-br"',
        '"2---gzip"',
        '"2-GZIP"',
        '"02"',
        '""',
        '"-2"',
        '"99999999999999999999"',
        '"9223372036854775808"',
        '"1,2"',
        '"\xe9"',
    ],
)
@pytest.mark.parametrize(("method", "suffix", "body", "status"), WRITES)
def test_a_write_with_another_version_changes_nothing(
    alice: User, method: str, suffix: str, body: Any, status: int, tag: str
) -> None:
    task = alice.create()
    current = alice.client.patch(f"/api/v1/tasks/{task['id']}", json={"title": "Milk"}).json()
    response = send(alice, task, method, suffix, body, tag)
    problem(response, 412, "version_mismatch")
    assert alice.read(task["id"]) == current
    assert status in {200, 204}


NOT_ENTITY_TAGS = [
    "2",
    "'2'",
    "",
    ",",
    "x",
    '"2',
    '2"',
    '"2 "',
    'w/"2"',
    "W/2",
    'W/ "2"',
    '"2" "3"',
    '"2";"3"',
    '"2", 3',
    '"2", *',
    "*, *",
    "**",
    '"2"x',
    "\u201c2\u201d",
]


@pytest.mark.parametrize("value", NOT_ENTITY_TAGS)
@pytest.mark.parametrize(("method", "suffix", "body", "status"), WRITES)
def test_what_is_no_entity_tag_is_invalid(
    alice: User, method: str, suffix: str, body: Any, status: int, value: str
) -> None:
    task = alice.create()
    current = alice.client.patch(f"/api/v1/tasks/{task['id']}", json={"title": "Milk"}).json()
    response = send(alice, task, method, suffix, body, value)
    invalid = problem(response, 422, "validation_error")
    assert [(error["field"], error["location"], error["code"]) for error in invalid["errors"]] == [
        ("If-Match", "header", "entity_tag")
    ]
    assert alice.read(task["id"]) == current
    assert status in {200, 204}


def test_several_if_match_fields_are_one_list(alice: User) -> None:
    task = alice.create()
    response = alice.client.post(
        f"/api/v1/tasks/{task['id']}/toggle", headers=[("If-Match", '"7"'), ("If-Match", '"1"')]
    )
    assert response.status_code == 200


def test_the_etag_of_each_answer_is_valid_for_the_next_write(alice: User) -> None:
    task = alice.create()
    tag = '"1"'
    for method, suffix, body in (
        ("PATCH", "", {"title": "a"}),
        ("PUT", "", WHOLE),
        ("POST", "/toggle", None),
        ("PATCH", "", {}),
        ("PATCH", "", {"description": None}),
    ):
        response = send(alice, task, method, suffix, body, tag)
        assert response.status_code == 200
        tag = response.headers["etag"]
    assert send(alice, task, "DELETE", "", None, tag).status_code == 204


@pytest.mark.proves("SC-001")
def test_one_of_sixteen_writers_with_the_same_version_succeeds(alice: User) -> None:
    task = alice.create()

    def write(number: int) -> int:
        body = {"title": f"writer {number}"}
        status: int = send(alice, task, "PATCH", "", body, '"1"').status_code
        return status

    with ThreadPoolExecutor(16) as pool:
        outcomes = Counter(pool.map(write, range(16)))
    assert outcomes == {200: 1, 412: 15}
    assert alice.client.get(f"/api/v1/tasks/{task['id']}").headers["etag"] == '"2"'


@pytest.mark.proves("US3-AC2", "SC-001")
@pytest.mark.parametrize("count", [50, 49])
def test_no_concurrent_toggle_is_lost(alice: User, count: int) -> None:
    task = alice.create()
    path = f"/api/v1/tasks/{task['id']}/toggle"
    with ThreadPoolExecutor(16) as pool:
        statuses = Counter(pool.map(lambda _: alice.client.post(path).status_code, range(count)))
    assert statuses == {200: count}
    assert alice.read(task["id"])["completed"] is bool(count % 2)
    response = alice.client.get(f"/api/v1/tasks/{task['id']}")
    assert response.headers["etag"] == f'"{count + 1}"'


def test_updated_at_never_decreases(alice: User) -> None:
    task = alice.create()
    path = f"/api/v1/tasks/{task['id']}/toggle"
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: alice.client.post(path), range(40)))
    by_version = sorted(answers, key=lambda answer: int(answer.headers["etag"].strip('"')))
    times = [answer.json()["updated_at"] for answer in by_version]
    assert times == sorted(times)
