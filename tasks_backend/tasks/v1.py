"""Tasks over HTTP, version 1: exactly docs/api.md.

A route parses the body, sends one statement and returns its row. If the statement finds nothing or
the request is invalid, a second statement determines the first error in the order of checks.
"""

import hashlib
import re
import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal, NoReturn
from urllib.parse import quote, urlencode

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError

from tasks_backend.db.connection import Row
from tasks_backend.db.database import CallerDatabase, LockTimeout, OwnRows
from tasks_backend.db.statements import Statement
from tasks_backend.errors import (
    ApiError,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    QuotaExceeded,
    TaskForbidden,
    TaskNotFound,
    ValidationFailed,
    VersionMismatch,
)
from tasks_backend.http import pagination
from tasks_backend.http.json_body import JsonBody, json_body
from tasks_backend.http.validation import field_error
from tasks_backend.openapi import Tag
from tasks_backend.tasks import examples, statements
from tasks_backend.tasks.conditions import IdempotencyKey, IfMatch, etag
from tasks_backend.tasks.documentation import CREATE, DELETE, GET, LIST, PATCH, PUT, TOGGLE
from tasks_backend.tasks.ids import new_id
from tasks_backend.tasks.models import TaskCreate, TaskPatch, TaskReplace
from tasks_backend.tasks.quota import Limit, Quota

router = APIRouter(tags=[Tag("tasks", "The caller's own tasks.")])

Json = Annotated[JsonBody, Depends(json_body("application/json"))]
MergePatch = Annotated[
    JsonBody, Depends(json_body("application/json", "application/merge-patch+json"))
]

_TOO_MANY_KEYS = (
    "Too many of your idempotency keys have not expired. Send it without a key, or later."
)

TaskId = Annotated[uuid.UUID, Path(description="The `id` of a task.", examples=[examples.TASK_ID])]


def _decimal(value: object) -> object:
    """Reject numbers that only Python accepts, such as `1_0` or `+5`."""
    if isinstance(value, str) and not re.fullmatch("-?[0-9]+", value):
        raise PydanticCustomError("int_parsing", "not decimal")
    return value


class ListQuery(BaseModel):
    """Which tasks, and how many of them."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[
        int,
        Query(ge=1, le=100, description="How many tasks at most.", examples=[20]),
        BeforeValidator(_decimal),
    ] = 50
    cursor: Annotated[
        str | None,
        Query(
            description="`next_cursor` of the page before, for the same query.",
            examples=[examples.CURSOR],
        ),
    ] = None
    completed: Annotated[
        Literal["true", "false"] | None,
        Query(description="Only tasks that are, or are not, done.", examples=["false"]),
    ] = None
    order: Annotated[
        Literal["desc", "asc"],
        Query(description="By creation: newest or oldest first.", examples=["asc"]),
    ] = "desc"


@router.post("", **CREATE)
async def create_task(request: Request, body: Json, own: OwnRows) -> Response:
    """Create a task of the caller's own (FR-003)."""
    new = body.parse(TaskCreate)
    key = IdempotencyKey.of(request)
    values = {"id": str(new_id()), **new.model_dump()}
    quota = Quota.of(request.app)
    if key is None:
        return _created(request, await _create(own, quota, values))
    if key.error is not None:
        raise key.error
    idempotency = _idempotency_parameters(
        request, key.value, "create", new.title, new.description, new.completed
    )
    result = await _run_idempotent(
        own,
        quota,
        statements.CREATE_IDEMPOTENT,
        statements.CREATE_IDEMPOTENT_COUNTED,
        {"max_tasks": quota.tasks, "max_keys": quota.keys},
        **{**values, **idempotency},
    )
    if result is None:
        await _raise_quota_exceeded(own, quota)
    row, attempt, fingerprint = result
    if fingerprint != idempotency["fingerprint"]:
        raise IdempotencyKeyReused
    return _created(request, row, replayed=attempt != idempotency["attempt"])


@router.get("", **LIST)
async def list_tasks(
    request: Request, query: Annotated[ListQuery, Query()], own: OwnRows
) -> Response:
    """Return a page of the caller's own tasks (FR-004)."""
    if len(request.query_params.multi_items()) != len(request.query_params):
        raise ValidationFailed([field_error("query", "", "repeated")])
    scope = f"{query.order} {query.completed}"
    after = None if query.cursor is None else str(pagination.decode(query.cursor, scope))
    pages = statements.FIRST_PAGE if after is None else statements.NEXT_PAGE
    rows = await own.run(
        pages[query.order],
        after=after,
        completed={"true": True, "false": False, None: None}[query.completed],
        limit=query.limit + 1,  # one more than requested shows whether there is a next page
    )
    page, headers, cursor = rows[: query.limit], {}, None
    if len(rows) > query.limit:
        cursor = pagination.encode(page[-1][0], scope)
        next_query = urlencode({**query.model_dump(exclude_none=True), "cursor": cursor})
        headers["Link"] = f'<{quote(request.scope["path"])}?{next_query}>; rel="next"'
    return _json({"items": [_task(row) for row in page], "next_cursor": cursor}, headers=headers)


@router.get("/{task_id}", **GET)
async def get_task(task_id: TaskId, own: OwnRows) -> Response:
    """Return one task. Raises TaskNotFound, also for another user's task."""
    rows = await own.run(statements.GET, id=str(task_id))
    if not rows:
        raise TaskNotFound
    return _one(rows[0])


@router.patch("/{task_id}", **PATCH)
async def patch_task(request: Request, task_id: TaskId, body: MergePatch, own: OwnRows) -> Response:
    """Change only the given fields (FR-005). An empty patch changes nothing."""
    condition = IfMatch.of(request)
    try:
        patch = body.parse(TaskPatch)
    except ApiError as error:
        await _refuse(own, task_id, condition, body=error)
    if patch.model_fields_set:
        return await _update(own, task_id, condition, patch)
    rows = await own.run(statements.GET, id=str(task_id))
    if not rows or not condition.met_by(rows[0][-1]):
        await _refuse(own, task_id, condition)
    return _one(rows[0])


@router.put("/{task_id}", **PUT)
async def replace_task(request: Request, task_id: TaskId, body: Json, own: OwnRows) -> Response:
    """Replace all fields that a client may set. Never creates a task."""
    condition = IfMatch.of(request)
    try:
        replacement = body.parse(TaskReplace)
    except ApiError as error:
        await _refuse(own, task_id, condition, body=error)
    return await _update(own, task_id, condition, replacement)


@router.post("/{task_id}/toggle", **TOGGLE)
async def toggle_task(request: Request, task_id: TaskId, own: OwnRows) -> Response:
    """Invert `completed`. To set a value, use PATCH."""
    condition, key = IfMatch.of(request), IdempotencyKey.of(request)
    if key is None:
        rows = await own.run(statements.TOGGLE, id=str(task_id), **condition.parameters)
        if not rows:
            await _refuse(own, task_id, condition)
        return _one(rows[0])
    if key.error is not None:
        await _refuse(own, task_id, condition, key=key.error)
    idempotency = _idempotency_parameters(request, key.value, "toggle", str(task_id))
    quota = Quota.of(request.app)
    result = await _run_idempotent(
        own,
        quota,
        statements.TOGGLE_IDEMPOTENT,
        statements.TOGGLE_IDEMPOTENT_COUNTED,
        {"max_keys": quota.keys},
        **{"id": str(task_id), **condition.parameters, **idempotency},
    )
    if result is None:
        await _refuse(own, task_id, condition, key=QuotaExceeded(_TOO_MANY_KEYS))
    row, attempt, fingerprint = result
    if fingerprint != idempotency["fingerprint"]:
        await _refuse(own, task_id, condition, key=IdempotencyKeyReused())
    return _one(row, replayed=attempt != idempotency["attempt"])


@router.delete("/{task_id}", **DELETE)
async def delete_task(request: Request, task_id: TaskId, own: OwnRows) -> Response:
    """Delete a task for good (FR-006)."""
    condition = IfMatch.of(request)
    if not await own.run(statements.DELETE, id=str(task_id), **condition.parameters):
        await _refuse(own, task_id, condition)
    return Response(status_code=204)


async def _create(own: CallerDatabase, quota: Quota, values: dict[str, Any]) -> Row:
    """Create a task without a key and return its row."""
    user_id = own.caller.user_id
    if not quota.tasks.must_count(user_id):
        (row,) = await own.run(statements.CREATE, **values)
        return row
    async with quota.count_lock(own.caller):
        rows = await own.run(statements.CREATE_COUNTED, max_tasks=quota.tasks.most, **values)
    if not rows:
        raise QuotaExceeded
    *task, left = rows[0]
    quota.tasks.set_remaining(user_id, left)
    return tuple(task)


async def _run_idempotent(
    own: CallerDatabase,
    quota: Quota,
    uncounted: Statement,
    counted: Statement,
    limits: dict[str, Limit],
    **parameters: Any,
) -> tuple[Sequence[Any], str, str] | None:
    """Run a write with a key, with counting if one of the limits needs it.

    Return the task, the attempt that created the key and the fingerprint of its request; None if
    nothing was written. Raises IdempotencyInProgress.
    """
    user_id = own.caller.user_id
    try:
        if any([limit.must_count(user_id) for limit in limits.values()]):  # noqa: C419 - each call counts
            most = {name: limit.most for name, limit in limits.items()}
            async with quota.count_lock(own.caller):
                rows = await own.run(counted, **most, **parameters)
        else:
            rows = await own.run(uncounted, **parameters)
    except LockTimeout:
        raise IdempotencyInProgress from None
    if not rows:
        return None
    size = len(statements.FIELDS) + 1
    row, (attempt, fingerprint, *remaining) = rows[0][:size], rows[0][size:]
    for limit, left in zip(limits.values(), remaining, strict=False):
        limit.set_remaining(user_id, left)
    return row, attempt, fingerprint


async def _raise_quota_exceeded(own: CallerDatabase, quota: Quota) -> NoReturn:
    """Raise QuotaExceeded for a create with a key; it states whether tasks or keys are too many."""
    ((left,),) = await own.run(statements.TASKS_LEFT, max_tasks=quota.tasks.most)
    raise QuotaExceeded if int(left) <= 0 else QuotaExceeded(_TOO_MANY_KEYS)


async def _update(
    own: CallerDatabase, task_id: uuid.UUID, condition: IfMatch, change: TaskPatch | TaskReplace
) -> Response:
    given_fields = change.model_fields_set
    rows = await own.run(
        statements.UPDATE,
        id=str(task_id),
        **{f"set_{name}": name in given_fields for name in ("title", "description", "completed")},
        **change.model_dump(),
        **condition.parameters,
    )
    if not rows:
        await _refuse(own, task_id, condition)
    return _one(rows[0])


async def _refuse(
    own: CallerDatabase,
    task_id: uuid.UUID,
    condition: IfMatch,
    *,
    body: ApiError | None = None,
    key: ApiError | None = None,
) -> NoReturn:
    """Raise the first error of an invalid request, in the order of checks, steps 5 to 7."""
    ((version, is_foreign),) = await own.run(statements.TASK_OWNERSHIP, id=str(task_id))
    if version is None:
        raise TaskForbidden if is_foreign else TaskNotFound
    if body is not None:
        raise body
    if condition.error is not None:
        raise condition.error
    if key is not None and condition.met_by(version):
        raise key
    raise VersionMismatch


def _idempotency_parameters(request: Request, key: str, *request_values: object) -> dict[str, Any]:
    """Return the parameters of an idempotent statement; `request_values` give the fingerprint."""
    return {
        "key": key,
        "fingerprint": hashlib.sha256(orjson.dumps(request_values)).hexdigest(),
        "attempt": str(uuid.uuid4()),
        "ttl": timedelta(seconds=request.app.state.settings.idempotency_ttl),
    }


def _created(request: Request, row: Sequence[Any], *, replayed: bool = False) -> Response:
    headers = {"Location": f"{quote(request.scope['path'])}/{row[0]}"}
    return _one(row, status=201, headers=headers, replayed=replayed)


def _one(
    row: Sequence[Any],
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    replayed: bool = False,
) -> Response:
    headers = {"ETag": etag(row[-1]), **(headers or {})}
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    return _json(_task(row), status, headers)


def _task(row: Row | Sequence[Any]) -> dict[str, Any]:
    return dict(zip(statements.FIELDS, row, strict=False))  # the version is not shown


def _json(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON response of database rows.

    No model validates it, so tests compare its bytes with the documented schema.
    """
    return Response(
        orjson.dumps(content, option=orjson.OPT_UTC_Z), status, headers, "application/json"
    )
