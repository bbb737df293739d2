"""Whether a route answers the first failure in the contract's order of checks (docs/api.md)."""

from collections.abc import Iterator
from typing import Any

import httpx2

from tasks_backend.testing.attempts import Actor
from tasks_backend.testing.isolation import unknown_id
from tasks_backend.testing.operations import Operation
from tasks_backend.testing.samples import kind_of
from tasks_backend.testing.service import problem

_JSON = {"Content-Type": "application/json"}
_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}
_BROKEN = b"{"

Case = tuple[str, httpx2.Response, int, str]


def cases(
    operation: Operation, actor: Actor, stranger: Actor, anonymous: httpx2.Client, max_body: int
) -> Iterator[Case]:
    """Send requests with several faults. Return what is tried, the answer, and the expected one."""
    good = actor.request(operation)
    method, path, client = operation.method, good.path, actor.user.client
    for other in sorted(_METHODS - operation.allowed)[:1]:
        answer = anonymous.request(other, path, content=_BROKEN)
        yield f"{other} {operation.path}", answer, 405, "method_not_allowed"
    if operation.public:
        return
    big = b'"' + b"x" * max_body + b'"'
    for content in (_BROKEN, big):
        answer = anonymous.request(method, path, content=content, headers={"Content-Type": "a/b"})
        yield "without a token, whatever the body is", answer, 401, "missing_token"
    has_body = operation.body_schema is not None

    def send(path: str = path, content: bytes = _BROKEN, **options: Any) -> httpx2.Response:
        headers = {**(_JSON if has_body else {}), **options.pop("headers", {})}
        return client.request(
            method, path, content=content if has_body else b"", headers=headers, **options
        )

    if has_body:
        yield "a body that is too large", send(content=big), 413, "payload_too_large"
        wrong = {"Content-Type": "text/plain"}
        yield "another media type", send(headers=wrong), 415, "unsupported_media_type"
    for name, wrong_path in _invalid_paths(operation, actor):
        yield f"an invalid {name} in the path", send(wrong_path), 422, "validation_error"
    for name in _typed_query(operation):
        query = {**good.query, name: "!"}
        yield f"an invalid {name} in the query", send(params=query), 422, "validation_error"
    if not has_body:
        return
    rows = [
        stranger.values,
        {name: unknown_id(actor.values[name]) for name in operation.path_parameters},
    ]
    for values in rows if _typed_path(operation) else ():
        answer = send(actor.request(operation, values).path, params=good.query)
        expected = answer.status_code if answer.status_code in {403, 404} else 404
        code = "an existing row comes before the body"
        yield code, answer, expected, _code(answer)
    yield "a body that is no JSON", send(params=good.query), 400, "malformed_json"
    answer = send(content=b"[]", params=good.query)
    yield "a body that is invalid", answer, 422, "validation_error"
    if any(each["name"].lower() == "if-match" for each in operation.parameters("header")):
        stale = {"If-Match": '"999999999"'}
        answer = send(params=good.query, headers=stale)
        yield "an invalid body and a stale version", answer, 400, "malformed_json"
        answer = client.request(method, path, json=good.body, params=good.query, headers=stale)
        yield "a stale version", answer, 412, "version_mismatch"


def check(case: Case) -> str | None:
    """Return what is wrong with an answer; None if nothing is."""
    what, answer, status, code = case
    try:
        problem(answer, status, code)
    except (AssertionError, ValueError, KeyError):
        found = f"{answer.status_code} {_code(answer)}".strip()
        return f"{what} is answered with {found}, not {status} {code}: {answer.text[:300]}"
    return None


def _code(answer: httpx2.Response) -> str:
    try:
        return str(answer.json().get("code", ""))
    except (ValueError, AttributeError):
        return ""


def _typed_path(operation: Operation) -> list[str]:
    """Return the names of the path's parameters that are no free texts."""
    return [
        each["name"]
        for each in operation.parameters("path")
        if each["schema"].get("format") == "uuid" or kind_of(each["schema"]) == "integer"
    ]


def _invalid_paths(operation: Operation, actor: Actor) -> Iterator[tuple[str, str]]:
    for name in _typed_path(operation):
        yield name, actor.request(operation, {name: "!"}).path


def _typed_query(operation: Operation) -> list[str]:
    kinds = {"integer", "boolean", "number"}
    return [
        each["name"]
        for each in operation.parameters("query")
        if any(kind_of(part) in kinds for part in each["schema"].get("anyOf", [each["schema"]])[:1])
    ]
