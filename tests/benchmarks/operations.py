"""The six operations: the requests of a burst of each."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from benchmarks.data import CHANGED, NEW, Data, Task
from benchmarks.load import Request, write

TASKS = "/api/v1/tasks"
OPERATIONS = ("create", "get", "list", "patch", "toggle", "delete")
CHANGING = frozenset(OPERATIONS) - {"get", "list"}
OF_EACH_PERSON = 20  # tasks in the requests
MOST_A_SECOND = 10_000  # more than any server deletes; each task can be deleted once


class Operations:
    """Files with requests: the same for all servers, except those of deletions."""

    def __init__(self, data: Data, tokens: Mapping[str, str], directory: Path) -> None:
        self._data = data
        self._tokens = tokens
        self._directory = directory
        tasks = data.sample(OF_EACH_PERSON)
        for operation in OPERATIONS:
            if operation != "delete":
                write(self._requests(operation, tasks), self._file(operation))

    def prepare(self, operation: str, schema: str, seconds: int) -> Path:
        """Return the file for a burst; its tasks exist."""
        path = self._file(operation)
        if operation == "delete":
            doomed = self._data.make(schema, MOST_A_SECOND * seconds)
            write(self._requests(operation, doomed), path)
        return path

    def _file(self, operation: str) -> Path:
        return self._directory / f"{operation}.requests"

    def _requests(self, operation: str, tasks: Iterable[Task]) -> Iterator[Request]:
        if operation == "create":
            for token in self._tokens.values():
                yield Request("POST", TASKS, token, json.dumps(NEW))
        elif operation == "list":
            for token in self._tokens.values():
                yield Request("GET", f"{TASKS}?limit=50", token)
        else:
            for task in tasks:
                yield _of_one(operation, f"{TASKS}/{task.id}", self._tokens[task.owner])


def _of_one(operation: str, path: str, token: str) -> Request:
    if operation == "toggle":
        return Request("POST", f"{path}/toggle", token)
    if operation == "patch":
        return Request("PATCH", path, token, json.dumps(CHANGED))
    return Request({"get": "GET", "delete": "DELETE"}[operation], path, token)
