"""The SQL of lists: pages and totals of the caller's tasks that a query selects."""

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

from sqlalchemy import Boolean, Integer, Text, Uuid, bindparam, cast, func, or_, select, true

from tasks_backend.db.statements import Statement, statement
from tasks_backend.tasks.models import Task
from tasks_backend.tasks.statements import COMPLETED, FIELDS, USER_ID, task

PATTERN = bindparam("pattern", type_=Text)
"""What a title or a description must match, in the language of LIKE."""

_lower = func.lower(PATTERN)
contains_text = or_(func.lower(task.title).like(_lower), func.lower(task.description).like(_lower))
"""Without regard to case. ILIKE would be the same, and cost two thirds more (decision 0020)."""

LISTED = tuple(
    cast(task[name], Text).label(name) if name in {"created_at", "updated_at"} else task[name]
    for name in FIELDS
)
"""The columns of a list. Its times are texts, because objects for them cost more than the rest of its
rows (decision 0013).
"""
_TIMES_AS_ISO = {"DateStyle": "ISO"}
"""The form that `listed_task` reads, whatever a pooler left in the session."""

_IN_ORDER = {"enable_bitmapscan": "off"}
"""PostgreSQL reads tasks in the order of their index; it does not read and sort all of them."""

READS_OWN_ROWS = {"enable_bitmapscan": "off", "enable_seqscan": "off", "random_page_cost": "0"}
"""PostgreSQL reads only the caller's rows, even if a scan of all users' tasks would read fewer pages."""

_AFTER = bindparam("after", type_=Uuid)
_LIMIT = bindparam("limit", type_=Integer)
_is_own = task.user_id == USER_ID
_is_as_completed = or_(cast(COMPLETED, Boolean).is_(None), task.completed == COMPLETED)


class PageForm(NamedTuple):
    """The form of a list's statement: its order and its options."""

    order: str
    after: bool = False
    """It starts after a given task, not with the first."""
    text: bool = False
    """It selects by text."""
    total: bool = False
    """The last column is the number of all tasks that the query selects."""


def _in_order(order: str, id_: Any) -> Any:
    """Return the order of a list's own index (decision 0014).

    With the primary key's order, PostgreSQL would scan all users' tasks; the position of nulls makes
    the two orders different.
    """
    return id_.desc().nulls_last() if order == "desc" else id_.asc().nulls_first()


def _page(kind: PageForm) -> Statement:
    selected = [_is_own, _is_as_completed, *([contains_text] if kind.text else [])]
    page: Any = select(*LISTED).where(*selected)
    if kind.after:
        page = page.where(task.id < _AFTER if kind.order == "desc" else task.id > _AFTER)
    page = page.order_by(_in_order(kind.order, task.id)).limit(_LIMIT)
    if kind.total:  # at least one row: a page without tasks has a total too
        total = select(func.count().label("total")).select_from(Task).where(*selected)
        counted, listed = total.subquery("counted"), page.subquery("page")
        page = select(*listed.c, counted.c.total).select_from(counted.outerjoin(listed, true()))
        page = page.order_by(_in_order(kind.order, listed.c.id))
    plan = READS_OWN_ROWS if kind.text or kind.total else _IN_ORDER
    return statement(page, idempotent=True, settings={**_TIMES_AS_ISO, **plan})


def listed_task(row: Sequence[Any]) -> dict[str, Any]:
    """Return a task as JSON shows it, from a page's row, whose times are texts."""
    id_, user_id, title, description, completed, created_at, updated_at, *_ = row
    return {
        "id": id_,
        "user_id": user_id,
        "title": title,
        "description": description,
        "completed": completed,
        "created_at": _rfc3339(created_at),
        "updated_at": _rfc3339(updated_at),
    }


def _rfc3339(time: str) -> str:
    """Return PostgreSQL's text of a time as RFC 3339 in UTC, with microseconds unless they are 0."""
    clock = time[11:-3]  # without the offset +00
    if len(clock) not in {8, 15}:  # PostgreSQL omits zeros at the end
        clock = clock.ljust(15, "0")
    return f"{time[:10]}T{clock}Z"


_BOTH = (False, True)
PAGES = {
    kind: _page(kind) for kind in map(PageForm._make, product(("desc", "asc"), _BOTH, _BOTH, _BOTH))
}
