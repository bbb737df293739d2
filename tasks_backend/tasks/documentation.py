"""What the OpenAPI document says of each operation on tasks; held against the answers by tests."""

from typing import Any

from tasks_backend.errors import (
    IdempotencyInProgress,
    IdempotencyKeyReused,
    InvalidCursor,
    MalformedJson,
    PayloadTooLarge,
    TaskForbidden,
    TaskNotFound,
    UnsupportedMediaType,
    ValidationFailed,
    VersionMismatch,
)
from tasks_backend.openapi import body, header, problems
from tasks_backend.tasks.models import TaskCreate, TaskOut, TaskPage, TaskPatch, TaskReplace

_IF_MATCH = header(
    "If-Match",
    "Do it only if the task is still in this version, one of a list, or `*` for any.",
    {},
    '"3"',
)
_IDEMPOTENCY_KEY = header(
    "Idempotency-Key",
    "Do it once, however often it is sent: a repetition gets the first answer again.",
    {"pattern": "^[\\x21-\\x7e]{1,255}$", "minLength": 1, "maxLength": 255},
    "8e03978e-40d5-43dd-bc93-6894a57f9324",
)
_ETAG = {
    "description": "The task's version, for If-Match.",
    "schema": {"type": "string"},
    "example": '"1"',
}
_REPLAYED = {
    "description": "`true` if this is the answer of an earlier request with the same key.",
    "schema": {"type": "string", "enum": ["true"]},
}
_LOCATION = {"description": "Where the task is.", "schema": {"type": "string"}}
_LINK = {
    "description": "The next page, while there is one (RFC 8288).",
    "schema": {"type": "string"},
    "example": '</api/v1/tasks?limit=50&order=desc&cursor=AZqh>; rel="next"',
}

_BODY = (PayloadTooLarge, UnsupportedMediaType, MalformedJson, ValidationFailed)


def _answer(
    status: int,
    description: str,
    model: type | None = None,
    headers: dict[str, Any] | None = None,
) -> dict[int | str, dict[str, Any]]:
    answer: dict[str, Any] = {"description": description}
    if headers:
        answer["headers"] = headers
    if model is not None:
        answer["model"] = model
    return {status: answer}


def _operation(
    summary: str,
    responses: dict[int | str, dict[str, Any]],
    *parameters: dict[str, Any],
    request: dict[str, Any] | None = None,
) -> dict[str, Any]:
    extra: dict[str, Any] = {"parameters": list(parameters)} if parameters else {}
    if request is not None:
        extra["requestBody"] = request
    return {
        "summary": summary,
        "status_code": min(status for status in responses if isinstance(status, int)),
        "responses": responses,
        "openapi_extra": extra,
    }


_ONE = _answer(200, "The task.", TaskOut, {"ETag": _ETAG})
_WRITE = (TaskForbidden, TaskNotFound, VersionMismatch)

CREATE = _operation(
    "Create a task",
    _answer(
        *(201, "The task, created.", TaskOut),
        {"Location": _LOCATION, "ETag": _ETAG, "Idempotency-Replayed": _REPLAYED},
    )
    | problems(*_BODY, IdempotencyInProgress, IdempotencyKeyReused),
    _IDEMPOTENCY_KEY,
    request=body(TaskCreate, "application/json"),
)
LIST = _operation(
    "List tasks",
    _answer(200, "A page of tasks.", TaskPage, {"Link": _LINK})
    | problems(PayloadTooLarge, InvalidCursor, ValidationFailed),
)
GET = _operation("Read a task", _ONE | problems(PayloadTooLarge, TaskNotFound, ValidationFailed))
PATCH = _operation(
    "Change a task",
    _ONE | problems(*_BODY, *_WRITE),
    _IF_MATCH,
    request=body(TaskPatch, "application/json", "application/merge-patch+json"),
)
PUT = _operation(
    "Replace a task",
    _ONE | problems(*_BODY, *_WRITE),
    _IF_MATCH,
    request=body(TaskReplace, "application/json"),
)
TOGGLE = _operation(
    "Toggle a task",
    _answer(
        *(200, "The task, toggled.", TaskOut),
        {"ETag": _ETAG, "Idempotency-Replayed": _REPLAYED},
    )
    | problems(
        *_WRITE, PayloadTooLarge, ValidationFailed, IdempotencyInProgress, IdempotencyKeyReused
    ),
    *(_IF_MATCH, _IDEMPOTENCY_KEY),
)
DELETE = _operation(
    "Delete a task",
    _answer(204, "Gone.") | problems(*_WRITE, PayloadTooLarge, ValidationFailed),
    _IF_MATCH,
)
