"""The OpenAPI documentation of each operation on tasks; tests compare it with the responses."""

from typing import Any

from tasks_backend.errors import (
    IdempotencyInProgress,
    IdempotencyKeyReused,
    InvalidCursor,
    MalformedJson,
    QuotaExceeded,
    TaskForbidden,
    TaskNotFound,
    UnsupportedMediaType,
    ValidationFailed,
    VersionMismatch,
)
from tasks_backend.http.validation import field_error
from tasks_backend.openapi import body, header, json_response, problems
from tasks_backend.tasks import examples
from tasks_backend.tasks.idempotency import too_many_keys
from tasks_backend.tasks.models import (
    TaskCreate,
    TaskOut,
    TaskPage,
    TaskPatch,
    TaskReplace,
    TasksChange,
    TasksDeleted,
    TasksUpdated,
)

_TAG = r'(W/)?"[\x21\x23-\x7e]*"'
_IF_MATCH = header(
    "If-Match",
    "Do it only if the task is still in this version, one of a list, or `*` for any.",
    {"pattern": rf"^(\*|{_TAG}( *, *{_TAG})*)$"},
    '"1"',
)
_IDEMPOTENCY_KEY = header(
    "Idempotency-Key",
    "Do it once, however often it is sent: a repetition gets the first answer again.",
    {"pattern": "^[\\x21-\\x7e]{1,255}$", "minLength": 1, "maxLength": 255},
    "8e03978e-40d5-43dd-bc93-6894a57f9324",
)
_ETAG = {
    "description": "The task's version, for If-Match.",
    "required": True,
    "schema": {"type": "string", "pattern": '^"[^"]+"$'},
    "example": '"1"',
}
_REPLAYED = {
    "description": "`true` if this is the answer of an earlier request with the same key.",
    "schema": {"type": "string", "enum": ["true"]},
    "example": "true",
}
_LOCATION = {
    "description": "Where the task is.",
    "required": True,
    "schema": {"type": "string", "format": "uri-reference"},
    "example": f"/api/v1/tasks/{examples.TASK_ID}",
}
_LINK = {
    "description": "The next page, while there is one (RFC 8288).",
    "schema": {"type": "string", "pattern": '^<[^>]+>; rel="next"$'},
    "example": f'</api/v1/tasks?limit=50&order=desc&cursor={examples.CURSOR}>; rel="next"',
}

_INVALID_ID = ValidationFailed([field_error("path", "task_id", "uuid_parsing")])
_INVALID_QUERY = ValidationFailed(
    [
        field_error("query", "limit", "less_than_equal", le=100),
        field_error("query", "", "extra_forbidden"),
    ]
)
_INVALID_FIELDS = ValidationFailed([field_error("body", "title", "string_too_short")])
_BODY_PROBLEMS = (UnsupportedMediaType, MalformedJson, _INVALID_FIELDS)
_WRITE_PROBLEMS = (TaskForbidden, TaskNotFound, VersionMismatch)
_IDEMPOTENCY_PROBLEMS = (IdempotencyInProgress, QuotaExceeded, IdempotencyKeyReused)
_KEY_PROBLEMS = (IdempotencyInProgress, too_many_keys(), IdempotencyKeyReused)


def _link(name: str, description: str, **parameters: str) -> dict[str, Any]:
    return {
        "operationId": f"tasks_v1_{name}",
        "description": description,
        "parameters": parameters,
    }


def _link_of_one(name: str, description: str) -> dict[str, Any]:
    same_version = {"header.If-Match": "$response.header.ETag"} if name != "get_task" else {}
    return _link(name, description, **{"path.task_id": "$response.body#/id"}, **same_version)


_LINKS_OF_ONE = {
    "read": _link_of_one("get_task", "Read it again."),
    "change": _link_of_one("patch_task", "Change it, if nobody else has since."),
    "replace": _link_of_one("replace_task", "Replace it, if nobody else has changed it since."),
    "toggle": _link_of_one("toggle_task", "Toggle it, if nobody else has changed it since."),
    "delete": _link_of_one("delete_task", "Delete it, if nobody else has changed it since."),
}
_LINKS_OF_PAGE = {
    "next": _link(
        "list_tasks",
        "The next page, while there is one: with the same `completed`, `q` and `order`.",
        cursor="$response.body#/next_cursor",
    )
}


def _success(
    status: int,
    description: str,
    model: type,
    examples_by_name: dict[str, Any],
    links: dict[str, Any],
    **headers: dict[str, Any],
) -> dict[int | str, dict[str, Any]]:
    named = {name.replace("_", "-"): header for name, header in headers.items()}
    parts = {"model": model, "headers": named, "links": links}
    return {status: {**json_response(description, examples_by_name), **parts}}


def _operation(
    summary: str,
    description: str,
    responses: dict[int | str, dict[str, Any]],
    *parameters: dict[str, Any],
    request: dict[str, Any] | None = None,
) -> dict[str, Any]:
    extra: dict[str, Any] = {"parameters": list(parameters)} if parameters else {}
    if request is not None:
        extra["requestBody"] = request
    return {
        "summary": summary,
        "description": description,
        "status_code": min(status for status in responses if isinstance(status, int)),
        "responses": responses,
        "openapi_extra": extra,
    }


_NO_CONTENT: dict[int | str, dict[str, Any]] = {204: {"description": "Gone."}}
_TASK = {"A task": examples.TASK}
_ALL_FIELDS = {name: examples.TASK[name] for name in ("title", "description", "completed")}
_WITHOUT_DESCRIPTION = {**examples.TASK, "description": None}
_PAGES = {
    "While there is a next page": {
        "items": [examples.TASK],
        "next_cursor": examples.CURSOR,
        "total": None,
    },
    "The last page": {"items": [_WITHOUT_DESCRIPTION], "next_cursor": None, "total": None},
    "With the number of tasks": {"items": [examples.TASK], "next_cursor": None, "total": 1},
    "No tasks": {"items": [], "next_cursor": None, "total": None},
}
_TASK_RESPONSE = _success(200, "The task.", TaskOut, _TASK, _LINKS_OF_ONE, ETag=_ETAG)

CREATE = _operation(
    "Create a task",
    "The task is the caller's own. With an `Idempotency-Key` it is safe to send this again.",
    _success(
        201,
        "The task, created.",
        TaskOut,
        {"A task": examples.TASK, "One without a description": _WITHOUT_DESCRIPTION},
        _LINKS_OF_ONE,
        Location=_LOCATION,
        ETag=_ETAG,
        Idempotency_Replayed=_REPLAYED,
    )
    | problems(*_BODY_PROBLEMS, *_IDEMPOTENCY_PROBLEMS),
    _IDEMPOTENCY_KEY,
    request=body(
        TaskCreate,
        "application/json",
        examples={
            "A title is enough": {"title": examples.TITLE},
            "With everything": _ALL_FIELDS,
        },
    ),
)
LIST = _operation(
    "List tasks",
    "A page of the caller's own tasks. A parameter that is not listed here is refused.",
    _success(200, "A page of tasks.", TaskPage, _PAGES, _LINKS_OF_PAGE, Link=_LINK)
    | problems(InvalidCursor, _INVALID_QUERY),
)
_SELECTION_PROBLEMS = (VersionMismatch("A selection of tasks has no version."), *_KEY_PROBLEMS)
_INVALID_SELECTION = ValidationFailed([field_error("query", "completed", "missing")])


def _count(word: str, model: type, field: str) -> dict[int | str, dict[str, Any]]:
    return _success(
        200,
        f"The number of tasks that were {word}.",
        model,
        {"Three tasks": {field: 3}, "No tasks": {field: 0}},
        {},
        Idempotency_Replayed=_REPLAYED,
    )


PATCH_ALL = _operation(
    "Complete or reopen all selected tasks",
    "Sets `completed` of **all** of the caller's tasks that the query selects: all of them or, if it "
    "fails, none. Tasks that already are so are not changed.",
    _count("changed", TasksUpdated, "updated")
    | problems(UnsupportedMediaType, MalformedJson, _INVALID_SELECTION, *_SELECTION_PROBLEMS),
    _IDEMPOTENCY_KEY,
    request=body(
        TasksChange,
        "application/json",
        "application/merge-patch+json",
        examples={"Complete them": {"completed": True}, "Reopen them": {"completed": False}},
    ),
)
DELETE_ALL = _operation(
    "Delete all selected tasks",
    "Deletes **all** of the caller's tasks that the query selects, for good: all of them or, if it "
    "fails, none. Without `q`, these are all tasks that are done, or all that are not.",
    _count("deleted", TasksDeleted, "deleted") | problems(_INVALID_SELECTION, *_SELECTION_PROBLEMS),
    _IDEMPOTENCY_KEY,
)
GET = _operation(
    "Read a task",
    "Another user's task is not found, like one that does not exist.",
    _TASK_RESPONSE | problems(TaskNotFound, _INVALID_ID),
)
PATCH = _operation(
    "Change a task",
    "A JSON merge patch (RFC 7396): absent fields stay as they are, `description: null` clears. "
    "An empty patch changes nothing.",
    _TASK_RESPONSE | problems(*_BODY_PROBLEMS, *_WRITE_PROBLEMS),
    _IF_MATCH,
    request=body(
        TaskPatch,
        "application/json",
        "application/merge-patch+json",
        examples={
            "Say that it is done": {"completed": True},
            "Rename it": {"title": "Buy oat milk"},
            "Clear the description": {"description": None},
        },
    ),
)
PUT = _operation(
    "Replace a task",
    "All fields are required, so that leaving one out never wipes it. Never creates a task.",
    _TASK_RESPONSE | problems(*_BODY_PROBLEMS, *_WRITE_PROBLEMS),
    _IF_MATCH,
    request=body(TaskReplace, "application/json", examples={"All of it": _ALL_FIELDS}),
)
TOGGLE = _operation(
    "Toggle a task",
    "Flips `completed` in one step. To say which way, change it with PATCH.",
    _success(
        200,
        "The task, toggled.",
        TaskOut,
        {"A task, now done": {**examples.TASK, "completed": True}},
        _LINKS_OF_ONE,
        ETag=_ETAG,
        Idempotency_Replayed=_REPLAYED,
    )
    | problems(*_WRITE_PROBLEMS, _INVALID_ID, *_KEY_PROBLEMS),
    _IF_MATCH,
    _IDEMPOTENCY_KEY,
)
DELETE = _operation(
    "Delete a task",
    "For good: a second time it is not found.",
    _NO_CONTENT | problems(*_WRITE_PROBLEMS, _INVALID_ID),
    _IF_MATCH,
)
