"""The responses of operations, and of requests that match no operation."""

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
from tasks_backend.openapi.describe import SEPARATOR, problems

SCHEME = "bearerAuth"
_RESPONSES = "#/components/responses/"
_INVALID = problems(ValidationFailed)
_COMMON = problems(BadRequest, PayloadTooLarge, InternalError)
_COMMON_CLOSED = problems(
    MissingToken,
    InvalidToken,
    ExpiredToken,
    DatabaseUnavailable,
    AuthUnavailable,
    Overloaded,
    DeadlineExceeded,
)


def add_common_responses(operation: dict[str, Any], path: str, *, closed: bool) -> None:
    """Add the failures that all operations share, and the headers of every response.

    `closed`: the operation requires a token.
    """
    responses = operation["responses"]
    if "application/json" in responses.get("422", {}).get("content", {}):
        del responses["422"]  # FastAPI's own, which the service never sends
        _add(responses, _INVALID)
    _add(responses, _COMMON)
    if closed:
        _add(responses, _COMMON_CLOSED)
    operation["security"] = [{SCHEME: []}] if closed else []
    operation["responses"] = dict(sorted(responses.items()))
    instance = _example_path(path, operation)
    for response in responses.values():
        _add_request_details(response, instance)


def unmatched_responses() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the responses to requests that match no operation, and references by status."""
    responses = {
        "NotFound": _response(NotFound(), "/api/v1/nothing"),
        "MethodNotAllowed": _response(
            MethodNotAllowed(headers={"Allow": "GET, POST"}), "/api/v1/tasks"
        ),
    }
    by_status = {"404": "NotFound", "405": "MethodNotAllowed"}
    return responses, {status: {"$ref": _RESPONSES + name} for status, name in by_status.items()}


def codes(described: dict[str, Any]) -> list[str]:
    """Return the codes of all failures in the document, including those of plugins."""
    responses = list(described["components"]["responses"].values())
    for methods in described["paths"].values():
        for operation in methods.values():
            responses += operation["responses"].values()
    contents = [response.get("content", {}).get(MEDIA_TYPE, {}) for response in responses]
    return sorted({code for content in contents for code in content.get("examples", {})})


def _add(responses: dict[str, Any], failures: dict[int | str, dict[str, Any]]) -> None:
    """Add failures; merge each with the operation's own response of the same status."""
    for status, failure in deepcopy(failures).items():
        own = responses.setdefault(str(status), failure)
        if own is failure:
            continue
        sentences = [
            *own["description"].split(SEPARATOR),
            *failure["description"].split(SEPARATOR),
        ]
        own["description"] = SEPARATOR.join(dict.fromkeys(sentences))
        own["headers"] = failure["headers"] | own.get("headers", {})
        added = failure["content"][MEDIA_TYPE]
        content = own.setdefault("content", {}).setdefault(MEDIA_TYPE, added)
        content["examples"] = content.get("examples", {}) | added["examples"]


def _response(error: ApiError, instance: str) -> dict[str, Any]:
    (response,) = problems(error).values()
    _add_request_details(response, instance)
    return response


def _add_request_details(response: dict[str, Any], instance: str) -> None:
    """Add the `X-Request-Id` header, and the requested path to the examples."""
    headers = response.setdefault("headers", {})
    headers["X-Request-Id"] = {"$ref": "#/components/headers/X-Request-Id"}
    for example in response.get("content", {}).get(MEDIA_TYPE, {}).get("examples", {}).values():
        example["value"]["instance"] = instance


def _example_path(path: str, operation: dict[str, Any]) -> str:
    """Return the path with its parameters replaced by their examples."""
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path" and (examples := parameter["schema"].get("examples")):
            path = path.replace(f"{{{parameter['name']}}}", str(examples[0]))
    return path
