"""Tasks over HTTP, version 1: exactly docs/api.md.

A route parses the body, sends one statement and returns its row. If the statement finds nothing or
the request is invalid, a second statement determines the first error in the order of checks.
"""

import uuid
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn
from urllib.parse import quote, urlencode

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response

from tasks_backend.db.database import CallerDatabase, OwnRows
from tasks_backend.db.statements import Statement
from tasks_backend.errors import (
    ApiError,
    QuotaExceeded,
    TaskNotFound,
    ValidationFailed,
)
from tasks_backend.http.json_body import JsonBody, json_body
from tasks_backend.http.pagination import decode as decode_cursor
from tasks_backend.http.pagination import encode as encode_cursor
from tasks_backend.openapi import Tag
from tasks_backend.tasks import (
    bulk_statements,
    documentation,
    quota_statements,
    statements,
)
from tasks_backend.tasks.conditions import IfMatch, etag, idempotency_key
from tasks_backend.tasks.idempotency import run_once, too_many_keys
from tasks_backend.tasks.idempotent_statements import (
    CREATE_IDEMPOTENT,
    TOGGLE_IDEMPOTENT,
    IdempotentWrite,
)
from tasks_backend.tasks.ids import new_id
from tasks_backend.tasks.list_statements import PAGES, PageForm, listed_task
from tasks_backend.tasks.models import TaskCreate, TaskPatch, TaskReplace, TasksChange
from tasks_backend.tasks.ownership import TaskId, require_task
from tasks_backend.tasks.queries import BulkQuery, ListQuery, require_unique_parameters
from tasks_backend.tasks.quota import Quota

router = APIRouter(tags=[Tag("tasks", "The caller's own tasks.")])

Json = Annotated[JsonBody, Depends(json_body("application/json"))]
MergePatch = Annotated[
    JsonBody, Depends(json_body("application/json", "application/merge-patch+json"))
]

_REPLAYED = {"Idempotency-Replayed": "true"}


@router.post("", **documentation.CREATE)
async def create_task(request: Request, body: Json, own: OwnRows) -> Response:
    """Create a task of the caller's own (FR-003)."""
    new = body.parse(TaskCreate)
    key = idempotency_key(request)
    values = {"id": str(new_id()), **new.model_dump()}
    quota = Quota.of(request.app)
    if key is None:
        rows = await quota.run(
            own, statements.CREATE, quota_statements.CREATE_COUNTED, ["max_tasks"], **values
        )
        if not rows:
            raise QuotaExceeded
        return _created(request, rows[0])
    result = await run_once(
        request,
        own,
        CREATE_IDEMPOTENT,
        key,
        "create",
        new.title,
        new.description,
        new.completed,
        limits=["max_tasks", "max_keys"],
        **values,
    )
    if result is None:
        most = quota.limits["max_tasks"].most
        ((left,),) = await own.run(quota_statements.TASKS_LEFT, max_tasks=most)
        raise QuotaExceeded if int(left) <= 0 else too_many_keys()
    row, replayed = result
    return _created(request, row, replayed=replayed)


@router.get("", **documentation.LIST)
async def list_tasks(
    request: Request, query: Annotated[ListQuery, Query()], own: OwnRows
) -> Response:
    """Return a page of the caller's own tasks (FR-004, FR-013, FR-014)."""
    require_unique_parameters(request)
    after = None if query.cursor is None else str(decode_cursor(query.cursor, query.scope))
    page = PageForm(query.order, after is not None, query.q is not None, query.count)
    rows = await own.run(
        PAGES[page],
        after=after,
        completed=query.completed,
        pattern=query.pattern,
        limit=query.limit + 1,  # one more than requested shows whether there is a next page
    )
    total = rows[0][-1] if query.count else None
    tasks = [listed_task(row) for row in rows[: query.limit] if row[0] is not None]
    cursor, headers = None, {}
    if len(rows) > query.limit:
        cursor = encode_cursor(tasks[-1]["id"], query.scope)
        next_query = urlencode(query.with_cursor(cursor))
        headers["Link"] = f'<{quote(request.scope["path"])}?{next_query}>; rel="next"'
    return _json({"items": tasks, "next_cursor": cursor, "total": total}, headers=headers)


@router.patch("", **documentation.PATCH_ALL)
async def patch_tasks(
    request: Request, query: Annotated[BulkQuery, Query()], body: MergePatch, own: OwnRows
) -> Response:
    """Set `completed` of all of the caller's tasks that the query selects (FR-015)."""
    require_unique_parameters(request)
    change = body.parse(TasksChange)
    return await _change_selected(
        request,
        own,
        query,
        bulk_statements.UPDATE_ALL,
        bulk_statements.UPDATE_ALL_IDEMPOTENT,
        "updated",
        new_completed=change.completed,
    )


@router.delete("", **documentation.DELETE_ALL)
async def delete_tasks(
    request: Request, query: Annotated[BulkQuery, Query()], own: OwnRows
) -> Response:
    """Delete all of the caller's tasks that the query selects (FR-015)."""
    require_unique_parameters(request)
    return await _change_selected(
        request,
        own,
        query,
        bulk_statements.DELETE_ALL,
        bulk_statements.DELETE_ALL_IDEMPOTENT,
        "deleted",
    )


@router.get("/{task_id}", **documentation.GET)
async def get_task(task_id: TaskId, own: OwnRows) -> Response:
    """Return one task. Raises TaskNotFound, also for another user's task."""
    rows = await own.run(statements.GET, id=str(task_id))
    if not rows:
        raise TaskNotFound
    return _one(rows[0])


@router.patch("/{task_id}", **documentation.PATCH)
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


@router.put("/{task_id}", **documentation.PUT)
async def replace_task(request: Request, task_id: TaskId, body: Json, own: OwnRows) -> Response:
    """Replace all fields that a client may set. Never creates a task."""
    condition = IfMatch.of(request)
    try:
        replacement = body.parse(TaskReplace)
    except ApiError as error:
        await _refuse(own, task_id, condition, body=error)
    return await _update(own, task_id, condition, replacement)


@router.post("/{task_id}/toggle", **documentation.TOGGLE)
async def toggle_task(request: Request, task_id: TaskId, own: OwnRows) -> Response:
    """Invert `completed`. To set a value, use PATCH."""
    condition = IfMatch.of(request)
    if condition.error is not None:  # also for a repetition, which ignores the version
        await _refuse(own, task_id, condition)
    parameters = {"id": str(task_id), **condition.parameters}
    try:
        key = idempotency_key(request)
        if key is not None:
            result = await run_once(
                request, own, TOGGLE_IDEMPOTENT, key, "toggle", str(task_id), **parameters
            )
    except ValidationFailed as error:  # of the key: invalid, or used for another request
        await _refuse(own, task_id, condition, key=error)
    if key is None:
        rows = await own.run(statements.TOGGLE, **parameters)
        if not rows:
            await _refuse(own, task_id, condition)
        return _one(rows[0])
    if result is None:
        await _refuse(own, task_id, condition, key=too_many_keys())
    row, replayed = result
    return _one(row, replayed=replayed)


@router.delete("/{task_id}", **documentation.DELETE)
async def delete_task(request: Request, task_id: TaskId, own: OwnRows) -> Response:
    """Delete a task for good (FR-006)."""
    condition = IfMatch.of(request)
    if not await own.run(statements.DELETE, id=str(task_id), **condition.parameters):
        await _refuse(own, task_id, condition)
    return Response(status_code=204)


async def _change_selected(
    request: Request,
    own: CallerDatabase,
    query: BulkQuery,
    write: Statement,
    idempotent: IdempotentWrite,
    verb: str,
    **values: Any,
) -> Response:
    """Change the selected tasks, once if there is a key, and return their count."""
    IfMatch.of(request).require_none()
    key = idempotency_key(request)
    parameters = {"completed": query.completed, "pattern": query.pattern, **values}
    if key is None:
        ((count,),) = await own.run(write, **parameters)
        return _json({verb: count})
    result = await run_once(
        request, own, idempotent, key, verb, *sorted(parameters.items()), **parameters
    )
    if result is None:
        raise too_many_keys()
    (count,), replayed = result
    return _json({verb: count}, headers=_REPLAYED if replayed else None)


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
    version = await require_task(own, task_id, changes=True)
    raise condition.refusal(version, body=body, key=key)


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
    headers = {"ETag": etag(row[-1]), **(headers or {}), **(_REPLAYED if replayed else {})}
    return _json(_task(row), status, headers)


def _task(row: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(statements.FIELDS, row, strict=False))  # the version is not shown


def _json(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON response of database rows.

    No model validates it, so tests compare its bytes with the documented schema.
    """
    return Response(
        orjson.dumps(content, option=orjson.OPT_UTC_Z), status, headers, "application/json"
    )
