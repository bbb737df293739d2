"""Counts are checked before validation: parameters, members, entity tags (FR-002, EDGE-9)."""

import httpx2
import pytest

from tasks_backend.testing.service import User, problem

pytestmark = pytest.mark.proves("FR-002", "EDGE-9")

TASKS = "/api/v1/tasks"


def entry(response: httpx2.Response) -> tuple[str, str, str]:
    """The only error of a refusal: its location, field and code."""
    (error,) = problem(response, 422, "validation_error")["errors"]
    return error["location"], error["field"], error["code"]


@pytest.mark.parametrize("count", [33, 1_000, 12_000])
def test_a_query_with_too_many_parameters_is_refused(alice: User, count: int) -> None:
    task = alice.create()
    query = "&".join(f"p{number}=" for number in range(count))
    for method, path, body in (
        ("GET", TASKS, None),
        ("POST", TASKS, {"title": "x"}),
        ("GET", f"{TASKS}/{task['id']}", None),
        ("POST", f"{TASKS}/{task['id']}/toggle", None),
        ("DELETE", f"{TASKS}/{task['id']}", None),
    ):
        response = alice.client.request(method, f"{path}?{query[:60_000]}", json=body)
        assert entry(response) == ("query", "", "too_many_parameters")
    assert alice.read(task["id"]) == task


def test_the_maximum_number_of_parameters_is_validated(alice: User) -> None:
    query = "&".join(f"p{number}=" for number in range(32))
    errors = problem(alice.client.get(f"{TASKS}?{query}"), 422, "validation_error")["errors"]
    assert {error["code"] for error in errors} == {"extra_forbidden"}


def test_the_media_type_comes_before_the_count_of_parameters(alice: User) -> None:
    response = alice.client.post(f"{TASKS}?{'&' * 40}", content=b"x")
    problem(response, 415, "unsupported_media_type")


def test_authentication_comes_before_the_count_of_parameters(anonymous: httpx2.Client) -> None:
    problem(anonymous.get(f"{TASKS}?{'&' * 1_000}"), 401, "missing_token")


TAGS = {
    "65 tags": ", ".join(f'"{number}"' for number in range(65)),
    "the right one among 8,800": ",".join(['"1"'] * 8_800),
    "8,800 of nothing": "," * 8_800,
    "65 empty ones among commas": '"",,' * 65,
}


@pytest.mark.parametrize("tags", TAGS.values(), ids=TAGS)
def test_if_match_with_too_many_tags_is_refused_in_order(alice: User, bob: User, tags: str) -> None:
    """The check comes after existence, ownership and the body, like the condition itself."""
    own, foreign = alice.create(), bob.create()
    headers = {"If-Match": tags}
    for method, path, body in (
        ("PATCH", "", {"title": "x"}),
        ("PATCH", "", {}),
        ("PUT", "", {"title": "x", "description": None, "completed": True}),
        ("POST", "/toggle", None),
        ("DELETE", "", None),
    ):
        for task_id, content, expected in (
            (own["id"], body, None),
            (foreign["id"], body, (403, "task_forbidden")),
            ("00000000-0000-7000-8000-000000000000", body, (404, "task_not_found")),
            (own["id"], {"title": 1}, (422, "validation_error")),
        ):
            url = f"{TASKS}/{task_id}{path}"
            response = alice.client.request(method, url, headers=headers, json=content)
            if expected is None:
                assert entry(response) == ("header", "If-Match", "too_many_tags")
            else:
                problem(response, *expected)
    keyed = headers | {"Idempotency-Key": "x"}
    toggled = alice.client.post(f"{TASKS}/{own['id']}/toggle", headers=keyed)
    assert entry(toggled) == ("header", "If-Match", "too_many_tags")
    assert alice.read(own["id"]) == own


@pytest.mark.parametrize(("tags", "status"), [(f'"{"," * 64}"', 412), (f'"{"," * 64}","1"', 200)])
def test_commas_in_a_tag_are_not_counted(alice: User, tags: str, status: int) -> None:
    """RFC 9110, 8.8.3: an entity tag may contain commas."""
    path = f"{TASKS}/{alice.create()['id']}"
    patched = alice.client.patch(path, headers={"If-Match": tags}, json={"title": "x"})
    assert patched.status_code == status


def test_the_maximum_number_of_tags_is_compared(alice: User) -> None:
    task = alice.create()
    tags = ", ".join(f'"{number}"' for number in reversed(range(64)))
    path = f"{TASKS}/{task['id']}"
    patched = alice.client.patch(path, headers={"If-Match": tags}, json={"title": "x"})
    assert (patched.status_code, patched.headers["etag"]) == (200, '"2"')
