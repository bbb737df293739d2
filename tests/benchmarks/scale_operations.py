"""The operations of a user with some tasks: as the service's messages, and as requests."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from benchmarks.data import NEW, Task
from benchmarks.load import Request
from benchmarks.operations import TASKS
from tasks_backend.db.statements import Statement
from tasks_backend.http import pagination
from tasks_backend.tasks import bulk_statements, statements
from tasks_backend.tasks.ids import new_id
from tasks_backend.tasks.list_statements import PAGES, PageForm
from tasks_backend.tasks.queries import ListQuery

_ANY = {"any_version": True, "versions": []}
_ONE: dict[str, tuple[Statement, dict[str, Any]]] = {
    "get": (statements.GET, {}),
    "toggle": (statements.TOGGLE, _ANY),
    "delete": (statements.DELETE, _ANY),
}
_COMPLETE = {"completed": False, "new_completed": True}
_TEXT = ListQuery(q="number 1").pattern
_SELECTIONS: dict[str, tuple[Statement, dict[str, Any]]] = {
    "complete all": (bulk_statements.UPDATE_ALL, {**_COMPLETE, "pattern": None}),
    "complete found": (bulk_statements.UPDATE_ALL, {**_COMPLETE, "pattern": _TEXT}),
    "delete all": (bulk_statements.DELETE_ALL, {"completed": True, "pattern": None}),
    "delete found": (bulk_statements.DELETE_ALL, {"completed": True, "pattern": _TEXT}),
}
_LISTS: dict[str, dict[str, str]] = {
    "list": {},
    "list, half way": {},
    "list of open": {"completed": "false"},
    "list and total": {"count": "true"},
    "search, all match": {"q": "number"},
    "search, none match": {"q": "no such text"},
    "search and total": {"q": "number", "count": "true"},
}
OPERATIONS = ("get", *_LISTS, "toggle", "create", "delete", "complete all")
PLANNED_OPERATIONS = (*_LISTS, "complete all", "complete found", "delete all", "delete found")


Own = Mapping[str, list[Task]]
"""Some users, and some tasks of each from the oldest to the newest."""


def messages(operation: str, own: Own) -> Iterator[tuple[str, Statement, dict[str, Any]]]:
    """Yield the user of the message, its statement and its parameters."""
    for user, tasks in own.items():
        if operation == "create":
            yield user, statements.CREATE, {**NEW, "completed": False, "id": str(new_id())}
        elif operation in _ONE:
            statement, values = _ONE[operation]
            for task in tasks:
                yield user, statement, {**values, "id": task.id}
        elif operation in _SELECTIONS:
            statement, values = _SELECTIONS[operation]
            yield user, statement, values
        else:
            query = ListQuery.model_validate(_LISTS[operation])
            after = _half_way(tasks) if operation == "list, half way" else None
            page = PageForm("desc", after is not None, query.q is not None, query.count)
            values = {"completed": query.completed, "pattern": query.pattern, "limit": 51}
            yield user, PAGES[page], {**values, "after": after}


def requests(operation: str, own: Own, tokens: Mapping[str, str]) -> Iterator[Request]:
    """Yield the repeatable requests: all except deletions."""
    for user, tasks in own.items():
        if operation == "create":
            yield Request("POST", TASKS, tokens[user], json.dumps(NEW))
        elif operation in _ONE:
            method, suffix = ("POST", "/toggle") if operation == "toggle" else ("GET", "")
            for task in tasks:
                yield Request(method, f"{TASKS}/{task.id}{suffix}", tokens[user])
        elif operation == "complete all":  # the first one completes; the others find nothing
            body = json.dumps({"completed": True})
            yield Request("PATCH", f"{TASKS}?completed=false", tokens[user], body)
        else:
            query = {"limit": "50", **_LISTS[operation]}
            if operation == "list, half way":
                query["cursor"] = pagination.encode(_half_way(tasks), "desc None")
            yield Request("GET", f"{TASKS}?{urlencode(query)}", tokens[user])


def deletions(tasks: Iterable[Task], tokens: Mapping[str, str]) -> Iterator[Request]:
    for task in tasks:
        yield Request("DELETE", f"{TASKS}/{task.id}", tokens[task.owner])


def _half_way(tasks: list[Task]) -> str:
    return tasks[len(tasks) // 2].id
