"""A resource of a plugin's own, and a list below a task, of the public pieces alone."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Integer,
    MetaData,
    Table,
    Text,
    Uuid,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from tasks_backend import ApiError, OwnRows, Plugin, problems, statement
from tasks_backend.errors import NotFound
from tasks_backend.resources import (
    USER_ID,
    IfMatch,
    JsonBody,
    KeyedWrite,
    TaskId,
    decode_cursor,
    encode_cursor,
    etag,
    json_body,
    matches_version,
    new_id,
    owns_task,
    require_task,
    require_unique_parameters,
    too_many_keys,
)

TIME = DateTime(timezone=True)
notes = Table(
    "notes",
    MetaData(schema="tasks_backend_notes"),
    Column("id", Uuid),
    Column("user_id", Text),
    Column("task_id", Uuid),
    Column("text", Text),
    Column("version", BigInteger),
    Column("updated_at", TIME),
)
c = notes.c
SHOWN = (c.id, c.task_id, c.text, c.updated_at, c.version)
ID, TEXT = bindparam("id", type_=Uuid), bindparam("text", type_=Text)
is_own = and_(c.id == ID, c.user_id == USER_ID)
is_asked = and_(is_own, matches_version(c.version))
CREATE = KeyedWrite(
    lambda first: (
        insert(notes)
        .from_select(["id", "user_id", "text"], select(ID, USER_ID, TEXT).where(first))
        .returning(*SHOWN)
    )
)
LIST = statement(
    select(*SHOWN)
    .where(
        c.user_id == USER_ID,
        or_(bindparam("after", type_=Uuid).is_(None), c.id < bindparam("after", type_=Uuid)),
    )
    .order_by(c.id.desc())
    .limit(bindparam("limit", type_=Integer)),
    idempotent=True,
)
GET = statement(select(*SHOWN).where(is_own), idempotent=True)
CHANGE = statement(
    update(notes)
    .where(is_asked)
    .values(text=TEXT, version=c.version + 1, updated_at=func.clock_timestamp())
    .returning(*SHOWN),
    idempotent=False,
)
DELETE = statement(delete(notes).where(is_asked).returning(c.id), idempotent=False)


class NoteIn(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    text: Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class Note(BaseModel):
    id: UUID
    task_id: UUID | None
    text: str
    updated_at: datetime
    version: int = Field(exclude=True)


class Notes(BaseModel):
    items: list[Note]
    next_cursor: str | None


class NoteNotFound(NotFound):
    code, title, summary = "note_not_found", "Note not found", "There is no such note."


Json = Annotated[JsonBody, Depends(json_body("application/json"))]
router, of_task = APIRouter(tags=["notes"]), APIRouter(tags=["notes"])


def shown(row: Any, response: Response) -> Note:
    note = Note.model_validate(
        row if isinstance(row, dict) else dict(zip(Note.model_fields, row, strict=True))
    )
    response.headers["ETag"] = etag(note.version)
    return note


async def refuse(own: OwnRows, note_id: UUID, condition: IfMatch, **wrong: Any) -> ApiError:
    rows = await own.run(GET, id=note_id)
    return (
        condition.refusal(rows[0][-1], changed="The note has changed.", **wrong)
        if rows
        else NoteNotFound()
    )


@router.post("", status_code=201)
async def create_note(request: Request, response: Response, body: Json, own: OwnRows) -> Note:
    note = body.parse(NoteIn)
    written = await CREATE.run(request, own, note.text, id=new_id(), text=note.text)
    if written is None:
        raise too_many_keys()
    response.headers.update(written.headers)
    return shown(written.row, response)


@router.get("")
async def list_notes(
    request: Request,
    own: OwnRows,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> Notes:
    require_unique_parameters(request)
    after = None if cursor is None else decode_cursor(cursor, "notes")
    rows = await own.run(LIST, after=after, limit=limit + 1)
    items = [shown(row, Response()) for row in rows[:limit]]
    return Notes(
        items=items,
        next_cursor=encode_cursor(str(items[-1].id), "notes") if len(rows) > limit else None,
    )


@router.get("/{note_id}", responses=problems(NoteNotFound))
async def get_note(note_id: UUID, response: Response, own: OwnRows) -> Note:
    rows = await own.run(GET, id=note_id)
    if not rows:
        raise NoteNotFound
    return shown(rows[0], response)


@router.patch("/{note_id}", responses=problems(NoteNotFound))
async def change_note(
    request: Request, note_id: UUID, response: Response, body: Json, own: OwnRows
) -> Note:
    condition = IfMatch.of(request)
    try:
        note = body.parse(NoteIn)
    except ApiError as error:
        raise await refuse(own, note_id, condition, body=error) from None
    rows = await own.run(CHANGE, id=note_id, text=note.text, **condition.parameters)
    if not rows:
        raise await refuse(own, note_id, condition)
    return shown(rows[0], response)


@router.delete("/{note_id}", status_code=204, responses=problems(NoteNotFound))
async def delete_note(request: Request, note_id: UUID, own: OwnRows) -> None:
    condition = IfMatch.of(request)
    if not await own.run(DELETE, id=note_id, **condition.parameters):
        raise await refuse(own, note_id, condition)


# --- below a task ---

TASK_ID = bindparam("task_id", type_=Uuid)
OF_TASK = statement(
    select(*SHOWN).where(c.user_id == USER_ID, c.task_id == TASK_ID).order_by(c.id), idempotent=True
)
ADD = KeyedWrite(
    lambda first: (
        insert(notes)
        .from_select(
            ["id", "user_id", "task_id", "text"],
            select(ID, USER_ID, TASK_ID, TEXT).where(owns_task, first),
        )
        .returning(*SHOWN)
    )
)


@of_task.get("")
async def list_of_task(task_id: TaskId, own: OwnRows) -> list[Note]:
    rows = await own.run(OF_TASK, task_id=task_id)
    if not rows:
        await require_task(own, task_id, changes=False)
    return [shown(row, Response()) for row in rows]


@of_task.post("", status_code=201)
async def add_to_task(
    request: Request, task_id: TaskId, response: Response, body: Json, own: OwnRows
) -> Note:
    try:
        note = body.parse(NoteIn)
        values = {"id": new_id(), "task_id": task_id, "text": note.text}
        written = await ADD.run(request, own, note.text, **values)
    except ApiError:
        await require_task(own, task_id, changes=True)
        raise
    if written is None:
        await require_task(own, task_id, changes=True)
        raise too_many_keys()
    response.headers.update(written.headers)
    return shown(written.row, response)


plugin = Plugin("notes", {"v1": router, "v2": router}, task_routers={"v1": of_task, "v2": of_task})
