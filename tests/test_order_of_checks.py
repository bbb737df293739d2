"""The order of checks: each request here has at least two errors; the first one is answered."""

from typing import Any

import httpx2
import pytest
from support.service import connected

from tasks_backend.testing.service import User, problem

TASKS = "/api/v1/tasks"
NOBODYS = "019aa1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b"
JSON = {"Content-Type": "application/json"}
BIG = b'{"title": "' + b"x" * 140_000 + b'"}'


@pytest.mark.proves("SC-004")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/api"),
        ("GET", "/api/v1"),
        ("GET", "/api/v2/tasks"),
        ("GET", "/api/v1/task"),
        ("GET", "/api/v1/tasks/"),
        ("POST", "/api/v1/tasks/"),
        ("GET", f"/api/v1/tasks/{NOBODYS}/"),
        ("POST", f"/api/v1/tasks/{NOBODYS}/toggle/x"),
        ("GET", "/api/v1/tasks%0A"),
        ("GET", "/redoc"),
    ],
)
def test_1_an_unknown_path_is_a_404_with_or_without_a_token(
    anonymous: httpx2.Client, alice: User, method: str, path: str
) -> None:
    for client in (anonymous, alice.client):
        problem(client.request(method, path, content=b"{", headers=JSON), 404, "not_found")


@pytest.mark.proves("SC-004")
@pytest.mark.parametrize(
    ("path", "allow"),
    [
        (TASKS, "DELETE, GET, HEAD, PATCH, POST"),
        (f"{TASKS}/{NOBODYS}", "DELETE, GET, HEAD, PATCH, PUT"),
        (f"{TASKS}/x", "DELETE, GET, HEAD, PATCH, PUT"),
        (f"{TASKS}/{NOBODYS}/toggle", "POST"),
        ("/livez", "GET, HEAD"),
        ("/readyz", "GET, HEAD"),
    ],
)
def test_1_a_wrong_method_is_a_405_that_lists_the_right_ones(
    anonymous: httpx2.Client, path: str, allow: str
) -> None:
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "QUERY"} - set(
        allow.split(", ")
    ):
        response = anonymous.request(method, path, content=b"{", headers=JSON)
        problem(response, 405, "method_not_allowed")
        assert response.headers["allow"] == allow


@pytest.mark.proves("US1-AC3", "EDGE-3", "SC-002", "FR-009")
@pytest.mark.parametrize("content", [b"{", BIG, b"\xff", b"[" * 100_000])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", TASKS),
        ("GET", f"{TASKS}?limit=0&cursor=x"),
        ("PATCH", f"{TASKS}/x"),
        ("PUT", f"{TASKS}/{NOBODYS}"),
        ("POST", f"{TASKS}/x/toggle"),
        ("DELETE", f"{TASKS}/x"),
        ("PATCH", TASKS),
        ("DELETE", f"{TASKS}?completed=x"),
    ],
)
def test_2_a_missing_token_is_a_401_whatever_else_is_wrong(
    anonymous: httpx2.Client, method: str, path: str, content: bytes
) -> None:
    response = anonymous.request(method, path, content=content, headers={"Content-Type": "a/b"})
    problem(response, 401, "missing_token")


@pytest.mark.proves("EDGE-5", "FR-002")
@pytest.mark.parametrize(
    ("method", "path"), [("POST", TASKS), ("PATCH", f"{TASKS}/x"), ("PUT", f"{TASKS}/x")]
)
def test_3_size_and_type_come_before_path_and_body(alice: User, method: str, path: str) -> None:
    response = alice.client.request(method, path, content=BIG, headers=JSON)
    problem(response, 413, "payload_too_large")
    response = alice.client.request(method, path, content=iter([BIG]), headers=JSON)
    problem(response, 413, "payload_too_large")
    for headers in ({}, {"Content-Type": "text/plain"}, {**JSON, "Content-Encoding": "gzip"}):
        response = alice.client.request(method, path, content=b"{", headers=headers)
        problem(response, 415, "unsupported_media_type")


def test_3_a_too_large_content_length_is_refused_first(alice: User) -> None:
    task = alice.create()
    for method, suffix in (("POST", "/toggle"), ("DELETE", "")):
        path = f"{TASKS}/{task['id']}{suffix}"
        problem(alice.client.request(method, path, content=BIG), 413, "payload_too_large")
    assert alice.read(task["id"]) == task


def test_4_the_path_comes_before_the_body_and_its_query(alice: User) -> None:
    for method in ("PATCH", "PUT"):
        response = alice.client.request(method, f"{TASKS}/x", content=b"{", headers=JSON)
        (error,) = problem(response, 422, "validation_error")["errors"]
        assert error["location"] == "path"
    problem(alice.client.get(f"{TASKS}?limit=0&cursor=x"), 422, "validation_error")


@pytest.mark.proves("FR-015")
def test_a_bulk_change_is_checked_in_the_same_order(alice: User) -> None:
    """Each request has all later errors too."""
    body, key = b"{", {"If-Match": "1", "Idempotency-Key": "a b"}
    for content, headers, query, status, code in (
        (BIG, {}, "limit=1", 413, "payload_too_large"),
        (body, {}, "limit=1", 415, "unsupported_media_type"),
        (body, JSON, "limit=1", 422, "validation_error"),
        (body, JSON, "completed=true", 400, "malformed_json"),
        (b'{"completed": 1}', JSON, "completed=true", 422, "validation_error"),
        (b'{"completed": true}', JSON, "completed=true", 422, "validation_error"),
    ):
        path = f"{TASKS}?{query}"
        response = alice.client.patch(path, content=content, headers={**key, **headers})
        problem(response, status, code)
    errors = [error["field"] for error in response.json()["errors"]]
    assert errors == ["If-Match"], "before the key"


@pytest.mark.proves("SC-003")
@pytest.mark.parametrize("content", [b"{", b'{"title": ""}', b"[]"])
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_5_ownership_comes_before_the_body(
    alice: User, bob: User, method: str, content: bytes
) -> None:
    for task_id, status, code in (
        (bob.create()["id"], 403, "task_forbidden"),
        (NOBODYS, 404, "task_not_found"),
    ):
        path = f"{TASKS}/{task_id}"
        problem(alice.client.request(method, path, content=content, headers=JSON), status, code)


@pytest.mark.proves("EDGE-5")
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_6_the_body_comes_before_the_version(alice: User, method: str) -> None:
    task = alice.create()
    for content, status, code in (
        (b"{", 400, "malformed_json"),
        (b'{"title": ""}', 422, "validation_error"),
    ):
        headers = {**JSON, "If-Match": '"9"'}
        path = f"{TASKS}/{task['id']}"
        problem(alice.client.request(method, path, content=content, headers=headers), status, code)


def test_6_the_body_comes_before_the_key(alice: User) -> None:
    headers: dict[Any, Any] = {**JSON, "Idempotency-Key": b"\xe9"}
    problem(alice.client.post(TASKS, content=b"{", headers=headers), 400, "malformed_json")


def test_7_the_version_comes_before_the_key(alice: User) -> None:
    task = alice.create()
    headers: dict[Any, Any] = {"If-Match": '"9"', "Idempotency-Key": b"\xe9"}
    response = alice.client.post(f"{TASKS}/{task['id']}/toggle", headers=headers)
    problem(response, 412, "version_mismatch")


@pytest.mark.proves("SC-005")
def test_a_401_does_not_wait_for_the_body(service: str) -> None:
    """The headers announce a body that never comes; the answer comes nevertheless."""
    with connected(service) as connection:
        connection.sendall(
            b"POST /api/v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\n\r\n"
        )
        assert connection.recv(64).startswith(b"HTTP/1.1 401 ")
