"""The operations of a user with some tasks: as the service's messages, and as requests."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from benchmarks.data import NEW, Task
from benchmarks.load import Request
from benchmarks.operations import TASKS
from tasks_backend.db.statements import Statement
from tasks_backend.http import pagination
from tasks_backend.tasks import statements
from tasks_backend.tasks.ids import new_id
from tasks_backend.tasks.list_statements import PAGES, Page

OPERATIONS = ("get", "list", "list, half way", "list of open", "toggle", "create", "delete")

_ANY = {"any_version": True, "versions": []}
_ONE: dict[str, tuple[Statement, dict[str, Any]]] = {
    "get": (statements.GET, {}),
    "toggle": (statements.TOGGLE, _ANY),
    "delete": (statements.DELETE, _ANY),
}


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
        else:
            after = _half_way(tasks) if operation == "list, half way" else None
            values = {
                "after": after,
                "completed": False if operation == "list of open" else None,
                "limit": 51,
            }
            yield user, PAGES[Page("desc", after is not None)], values


def requests(operation: str, own: Own, tokens: Mapping[str, str]) -> Iterator[Request]:
    """Yield the repeatable requests: all except deletions."""
    for user, tasks in own.items():
        if operation == "create":
            yield Request("POST", TASKS, tokens[user], json.dumps(NEW))
        elif operation in _ONE:
            method, suffix = ("POST", "/toggle") if operation == "toggle" else ("GET", "")
            for task in tasks:
                yield Request(method, f"{TASKS}/{task.id}{suffix}", tokens[user])
        else:
            query = {"list of open": "&completed=false"}.get(operation, "")
            if operation == "list, half way":
                query = f"&cursor={pagination.encode(_half_way(tasks), 'desc None')}"
            yield Request("GET", f"{TASKS}?limit=50{query}", tokens[user])


def deletions(tasks: Iterable[Task], tokens: Mapping[str, str]) -> Iterator[Request]:
    for task in tasks:
        yield Request("DELETE", f"{TASKS}/{task.id}", tokens[task.owner])


def _half_way(tasks: list[Task]) -> str:
    return tasks[len(tasks) // 2].id
