"""The query parameters that select tasks."""

import re
from typing import Annotated, Any, Literal

from fastapi import Query, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from tasks_backend.errors import ValidationFailed
from tasks_backend.http.validation import field_error
from tasks_backend.tasks import examples
from tasks_backend.tasks.models import SearchText


def _decimal(value: object) -> object:
    """Reject numbers that only Python accepts, such as `1_0` or `+5`."""
    if isinstance(value, str) and not re.fullmatch("-?[0-9]+", value):
        raise PydanticCustomError("int_parsing", "not decimal")
    return value


PageLimit = Annotated[int, Field(ge=1, le=100), BeforeValidator(_decimal)]


def _true_or_false(value: object) -> object:
    """Reject the other spellings that pydantic accepts, such as `1` or `yes`."""
    if isinstance(value, str) and value not in {"true", "false"}:
        raise PydanticCustomError("bool_parsing", "not a boolean")
    return value


Flag = Annotated[bool, BeforeValidator(_true_or_false)]


class _Selection(BaseModel):
    model_config = ConfigDict(extra="forbid")

    q: Annotated[
        SearchText | None,
        Query(
            description="Only tasks whose title or description contains this text, ignoring case. "
            "1 to 200 characters (Unicode code points) after trimming.",
            examples=[examples.SEARCH],
        ),
    ] = None

    @property
    def pattern(self) -> str | None:
        """The search text as a pattern of LIKE, in which no character is special."""
        if self.q is None:
            return None
        escaped = re.sub(r"([%_\\])", r"\\\1", self.q)
        return f"%{escaped}%"


class BulkQuery(_Selection):
    """Which tasks a bulk change applies to."""

    completed: Annotated[
        Flag, Query(description="Only tasks that are, or are not, done.", examples=[True])
    ]


class ListQuery(_Selection):
    """Which tasks, and how many of them."""

    limit: Annotated[PageLimit, Query(description="How many tasks at most.", examples=[20])] = 50
    cursor: Annotated[
        str | None,
        Query(
            description="`next_cursor` of the page before, for the same query.",
            examples=[examples.CURSOR],
        ),
    ] = None
    completed: Annotated[
        Flag | None, Query(description="Only tasks that are, or are not, done.", examples=[False])
    ] = None
    order: Annotated[
        Literal["desc", "asc"],
        Query(description="By creation: newest or oldest first.", examples=["asc"]),
    ] = "desc"
    count: Annotated[
        Flag,
        Query(
            description="`true` returns the number of selected tasks as `total`.", examples=[True]
        ),
    ] = False

    @property
    def scope(self) -> str:
        """What a cursor belongs to: the order and the selection."""
        scope = f"{self.order} {_text(self.completed)}"
        return scope if self.q is None else f"{scope} {self.q}"

    def with_cursor(self, cursor: str) -> dict[str, str]:
        """Return the parameters of the next page."""
        given = self.model_dump(exclude_none=True) | {"cursor": cursor}
        if not self.count:
            del given["count"]
        return {name: _text(value) for name, value in given.items()}


def require_unique_parameters(request: Request) -> None:
    """Raise ValidationFailed for each parameter that is given twice. Unknown ones are refused before."""
    names = [name for name, _ in request.query_params.multi_items()]
    if len(names) != len(request.query_params):
        repeated = (name for name in request.query_params if names.count(name) > 1)
        raise ValidationFailed([field_error("query", name, "repeated") for name in repeated])


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
