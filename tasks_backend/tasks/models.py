"""The models of a task: the rows (SQLModel tables) and the JSON (pydantic models).

SQLModel tables do not validate and silently ignore `extra="forbid"`. So request bodies are plain
pydantic models, and the tables enforce their invariants with CHECK constraints.
"""

import unicodedata
import uuid
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints
from pydantic import Field as JsonField
from pydantic_core import PydanticCustomError
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    MetaData,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from tasks_backend.db.statements import SCHEMA
from tasks_backend.tasks import examples

TITLE_LENGTH = 200
DESCRIPTION_LENGTH = 10_000
SEARCH_LENGTH = 200
USER_ID_LENGTH = 255

_SPACES = r"\u0020\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_LINE_SEPARATORS = r"\u2028\u2029"
_CONTROLS = r"\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f"  # without tab, LF and CR


def _trimmed_pattern(white_space: str, refused: str, length: int) -> str:
    """Return the pattern of a text of 1 to `length` characters between white space."""
    edge = f"[^{white_space}{refused}]"
    return f"^[{white_space}]*{edge}([^{refused}]{{0,{length - 2}}}{edge})?[{white_space}]*$"


TITLE_PATTERN = _trimmed_pattern(
    _SPACES, rf"{_CONTROLS}\u0009\u000a\u000d{_LINE_SEPARATORS}", TITLE_LENGTH
)
SEARCH_PATTERN = _trimmed_pattern(
    rf"\u0009\u000a\u000d{_SPACES}{_LINE_SEPARATORS}", rf"{_CONTROLS}\ufffd", SEARCH_LENGTH
)
DESCRIPTION_PATTERN = f"^[^{_CONTROLS}]*$"


class Table(SQLModel):
    """Base of the service's tables: its own schema, predictable constraint names."""

    metadata = MetaData(
        schema=SCHEMA,
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        },
    )


class User(Table, table=True):
    """A user who has written at least once. The id is the token's `sub`; Better Auth has the rest."""

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint(f"char_length(id) BETWEEN 1 AND {USER_ID_LENGTH}", name="id_length"),
    )

    id: str = Field(primary_key=True, sa_type=Text)
    created_at: datetime = Field(
        sa_type=DateTime(timezone=True),
        sa_column_kwargs={"server_default": func.now()},
    )


def _owner() -> Any:
    """Return the owner column. It does not reference Better Auth's tables (decision 0006)."""
    return Field(
        sa_type=Text,
        sa_column_args=[ForeignKey(f"{SCHEMA}.users.id", ondelete="CASCADE")],
    )


class Job(Table, table=True):
    """When a plugin's job runs next, and which process runs it now (decision 0023)."""

    __tablename__ = "jobs"

    plugin: str = Field(primary_key=True, sa_type=Text)
    name: str = Field(primary_key=True, sa_type=Text)
    holder: str | None = Field(default=None, sa_type=Text)
    held_until: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    next_run_at: datetime = Field(sa_type=DateTime(timezone=True))


class Task(Table, table=True):
    """A task of one user."""

    __tablename__ = "tasks"
    __table_args__ = (
        CheckConstraint(
            f"char_length(title) BETWEEN 1 AND {TITLE_LENGTH} AND btrim(title) <> ''", name="title"
        ),
        CheckConstraint(f"char_length(description) <= {DESCRIPTION_LENGTH}", name="description"),
        CheckConstraint("version >= 1", name="version"),
        # ids are in order of creation, and so is the list (decision 0014)
        Index("ix_tasks_list", "user_id", text("id DESC NULLS LAST")),
    )

    id: uuid.UUID = Field(primary_key=True, sa_type=Uuid)
    user_id: str = _owner()
    title: str = Field(sa_type=Text)
    description: str | None = Field(default=None, sa_type=Text)
    completed: bool = Field(sa_column_kwargs={"server_default": text("false")})
    version: int = Field(sa_type=BigInteger, sa_column_kwargs={"server_default": text("1")})
    created_at: datetime = Field(
        sa_type=DateTime(timezone=True),
        sa_column_kwargs={"server_default": func.now()},
    )
    updated_at: datetime = Field(
        sa_type=DateTime(timezone=True),
        sa_column_kwargs={"server_default": func.now()},
    )


class IdempotencyKey(Table, table=True):
    """The response to a write with an `Idempotency-Key`, until it expires.

    `attempt` is the id of the message that created the row; `fingerprint` identifies the request.
    The response is a task, the `count` of a bulk change, or the row that a plugin's write returned
    (`response`); the columns of the others are null.
    `description_in_task`: the description is too long to copy for a toggle; read it from the task.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index(None, "user_id", "expires_at"), Index(None, "expires_at"))

    user_id: str = Field(
        primary_key=True,
        sa_type=Text,
        sa_column_args=[ForeignKey(f"{SCHEMA}.users.id", ondelete="CASCADE")],
    )
    key: str = Field(primary_key=True, sa_type=Text)
    fingerprint: str = Field(sa_type=Text)
    attempt: uuid.UUID = Field(sa_type=Uuid)
    task_id: uuid.UUID | None = Field(default=None, sa_type=Uuid)
    title: str | None = Field(default=None, sa_type=Text)
    description: str | None = Field(default=None, sa_type=Text)
    description_in_task: bool = Field(sa_column_kwargs={"server_default": text("false")})
    completed: bool | None = None
    version: int | None = Field(default=None, sa_type=BigInteger)
    created_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    updated_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    count: int | None = Field(default=None, sa_type=BigInteger)
    response: dict[str, Any] | None = Field(default=None, sa_type=JSONB(none_as_null=True))
    expires_at: datetime = Field(sa_type=DateTime(timezone=True))


def _clean_title(title: str) -> str:
    _refuse_controls(title, allowed="")
    if "\u2028" in title or "\u2029" in title:
        raise PydanticCustomError("line_break", "line break")
    return _trim(title, TITLE_LENGTH)


def _clean_search(text: str) -> str:
    if "\N{REPLACEMENT CHARACTER}" in text:  # what is not UTF-8 in the URL became this
        raise PydanticCustomError("string_unicode", "not UTF-8")
    return _trim(_clean_description(text), SEARCH_LENGTH)


def _clean_description(description: str) -> str:
    _refuse_controls(description, allowed="\n\t")
    return description


def _refuse_controls(value: str, *, allowed: str) -> None:
    for character in value:
        if character not in allowed and unicodedata.category(character) == "Cc":
            raise PydanticCustomError("control_character", "control character")


def _trim(value: str, most: int) -> str:
    value = value.strip()
    if not value:
        raise PydanticCustomError("string_too_short", "empty")
    if len(value) > most:
        raise PydanticCustomError("string_too_long", "too long", {"max_length": most})
    return value


def _normalise_line_breaks(value: object) -> object:
    """Return a text with each CRLF and CR as a newline; HTML forms send them."""
    return value.replace("\r\n", "\n").replace("\r", "\n") if isinstance(value, str) else value


Title = Annotated[
    str,
    StringConstraints(min_length=1),  # with a constraint, pydantic also rejects lone surrogates
    AfterValidator(_clean_title),
    JsonField(
        description="1 to 200 characters (Unicode code points) after trimming, on one line.",
        examples=[examples.TITLE],
        json_schema_extra={"pattern": TITLE_PATTERN},
    ),
]
Description = Annotated[
    str,
    StringConstraints(max_length=DESCRIPTION_LENGTH),
    BeforeValidator(_normalise_line_breaks),
    AfterValidator(_clean_description),
    JsonField(
        description="At most 10,000 characters (Unicode code points); of control characters only "
        "line breaks and tab. A line break is stored as a newline.",
        examples=[examples.DESCRIPTION],
        json_schema_extra={"pattern": DESCRIPTION_PATTERN},
    ),
]
SearchText = Annotated[
    str,
    BeforeValidator(_normalise_line_breaks),
    AfterValidator(_clean_search),
    JsonField(json_schema_extra={"pattern": SEARCH_PATTERN}),
]
Completed = Annotated[bool, JsonField(description="Whether the task is done.", examples=[False])]


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class TaskCreate(_Body):
    """A new task. Only the title is needed."""

    title: Title
    description: Description | None = None
    completed: Completed = False


class TaskReplace(_Body):
    """All of a task: every field is required, so that leaving one out never wipes it."""

    title: Title
    description: Description | None
    completed: Completed


def _without_defaults(schema: dict[str, Any]) -> None:
    """Remove the defaults: an absent field stays unchanged, so clients must not fill one in."""
    for field in schema["properties"].values():
        field.pop("default", None)


class TaskPatch(_Body):
    """A JSON merge patch (RFC 7396): absent fields stay, `description: null` clears."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)

    title: Title = ""
    description: Description | None = None
    completed: Completed = False


class TaskOut(BaseModel):
    """A task as it is answered."""

    model_config = ConfigDict(title="Task")  # the table class is called Task

    id: uuid.UUID = JsonField(
        description="A UUIDv7, made by the service.", examples=[examples.TASK_ID]
    )
    user_id: str = JsonField(
        description="The owner: the `sub` of the token.", examples=[examples.USER_ID]
    )
    title: str = JsonField(
        description="1 to 200 characters, on one line.", examples=[examples.TITLE]
    )
    description: str | None = JsonField(
        description="At most 10,000 characters, or null.", examples=[examples.DESCRIPTION]
    )
    completed: bool = JsonField(description="Whether the task is done.", examples=[False])
    created_at: datetime = JsonField(
        description="When it was created (RFC 3339, UTC).", examples=[examples.TIME]
    )
    updated_at: datetime = JsonField(
        description="When it was last changed (RFC 3339, UTC).", examples=[examples.TIME]
    )


class TaskPage(BaseModel):
    """A page of tasks, and where the next one begins."""

    items: list[TaskOut] = JsonField(
        description="The tasks of this page, at most `limit`.", examples=[[examples.TASK]]
    )
    next_cursor: str | None = JsonField(
        description="The `cursor` of the next page; null on the last one.",
        examples=[examples.CURSOR],
    )
    total: int | None = JsonField(
        description="How many tasks the query selects on all pages; null without `count=true`.",
        examples=[1],
    )


class TasksChange(_Body):
    """What a bulk change sets."""

    completed: Completed


class TasksUpdated(BaseModel):
    """The result of a bulk change."""

    updated: int = JsonField(
        description="How many tasks were changed, not counting those that already were so.",
        examples=[3],
    )


class TasksDeleted(BaseModel):
    """The result of a bulk deletion."""

    deleted: int = JsonField(description="How many tasks were deleted.", examples=[3])
