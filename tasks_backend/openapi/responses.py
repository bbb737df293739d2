"""What operations answer: their own failures, those that all share, and what belongs to none."""

from copy import deepcopy
from typing import Any

from tasks_backend.errors import (
    MEDIA_TYPE,
    ApiError,
    AuthUnavailable,
    BadRequest,
    DatabaseUnavailable,
    DeadlineExceeded,
    ExpiredToken,
    InternalError,
    InvalidToken,
    MethodNotAllowed,
    MissingToken,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    ValidationFailed,
)
from tasks_backend.openapi.describe import AND, problems

SCHEME = "bearerAuth"
_RESPONSES = "#/components/responses/"
_INVALID = problems(ValidationFailed)
_EVERY = problems(BadRequest, PayloadTooLarge, InternalError)
_EVERY_CLOSED = problems(
    *(MissingToken, InvalidToken, ExpiredToken),
    *(DatabaseUnavailable, AuthUnavailable, Overloaded),
    DeadlineExceeded,
)


def add_common_responses(operation: dict[str, Any], path: str, *, closed: bool) -> None:
    """Add the failures that every operation shares, and what every response carries."""
    responses = operation["responses"]
    if "application/json" in responses.get("422", {}).get("content", {}):
        del responses["422"]  # FastAPI's own, in a shape that is never sent
        _add(responses, _INVALID)
    _add(responses, _EVERY)
    if closed:
        _add(responses, _EVERY_CLOSED)
    operation["security"] = [{SCHEME: []}] if closed else []
    operation["responses"] = dict(sorted(responses.items()))
    instance = _example_of(path, operation)
    for response in responses.values():
        _enveloped(response, instance)


def unmatched_responses() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the responses to requests that no operation takes, and by status where they are."""
    responses = {
        "NotFound": _response(NotFound(), "/api/v1/nothing"),
        "MethodNotAllowed": _response(
            MethodNotAllowed(headers={"Allow": "GET, POST"}), "/api/v1/tasks"
        ),
    }
    by_status = {"404": "NotFound", "405": "MethodNotAllowed"}
    return responses, {status: {"$ref": _RESPONSES + name} for status, name in by_status.items()}


def codes(described: dict[str, Any]) -> list[str]:
    """Return the code of every failure that the document has, a plugin's among them."""
    responses = list(described["components"]["responses"].values())
    for methods in described["paths"].values():
        for operation in methods.values():
            responses += operation["responses"].values()
    contents = [response.get("content", {}).get(MEDIA_TYPE, {}) for response in responses]
    return sorted({code for content in contents for code in content.get("examples", {})})


def _add(responses: dict[str, Any], failures: dict[int | str, dict[str, Any]]) -> None:
    """Add these failures; one of a status that the operation has already joins it there."""
    for status, failure in deepcopy(failures).items():
        own = responses.setdefault(str(status), failure)
        if own is failure:
            continue
        sentences = [*own["description"].split(AND), *failure["description"].split(AND)]
        own["description"] = AND.join(dict.fromkeys(sentences))
        own["headers"] = failure["headers"] | own.get("headers", {})
        added = failure["content"][MEDIA_TYPE]
        content = own.setdefault("content", {}).setdefault(MEDIA_TYPE, added)
        content["examples"] = content.get("examples", {}) | added["examples"]


def _response(error: ApiError, instance: str) -> dict[str, Any]:
    (response,) = problems(error).values()
    _enveloped(response, instance)
    return response


def _enveloped(response: dict[str, Any], instance: str) -> None:
    """Give a response what every one carries, and its examples the path that was asked for."""
    headers = response.setdefault("headers", {})
    headers["X-Request-Id"] = {"$ref": "#/components/headers/X-Request-Id"}
    for example in response.get("content", {}).get(MEDIA_TYPE, {}).get("examples", {}).values():
        example["value"]["instance"] = instance


def _example_of(path: str, operation: dict[str, Any]) -> str:
    """Return the path with its parameters' examples in their places."""
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path" and (examples := parameter["schema"].get("examples")):
            path = path.replace(f"{{{parameter['name']}}}", str(examples[0]))
    return path
