"""Requests of a user to every operation, with values that the service accepts."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx2

from tasks_backend.testing.operations import Json, Operation
from tasks_backend.testing.samples import kind_of, sample
from tasks_backend.testing.service import User

_WRITES = ("POST", "PUT", "PATCH")
_ID = re.compile(r"(?:^|_)ids?$|user|owner")
"""Names of members that may hold an id."""


@dataclass(frozen=True)
class Request:
    """A request that can be sent by any user."""

    operation: Operation
    path: str
    query: Json = field(default_factory=dict)
    body: Any = None
    what: str = ""

    def send(self, client: httpx2.Client, **options: Any) -> httpx2.Response:
        """Send it with a client."""
        if self.body is not None:
            options = {"json": self.body, **options}
        return client.request(self.operation.method, self.path, params=self.query, **options)

    def __str__(self) -> str:
        return self.operation.name + self.what


class Actor:
    """A user, with the values by which the user's own rows are reached.

    `marker` is a text that only this user's rows have. `bodies` and `parameters` replace samples.
    """

    def __init__(
        self,
        user: User,
        operations: Sequence[Operation],
        bodies: Mapping[str, Any],
        parameters: Mapping[str, Any],
    ) -> None:
        self.user = user
        self.marker = f"secret{user.sub[:16]}"
        self._operations = operations
        self._bodies = bodies
        self._given = parameters
        self.values: Json = dict(parameters)

    def act(self) -> Iterator[tuple[Request, httpx2.Response]]:
        """Create a task, and send every POST, PUT and PATCH; keep the ids of what is created."""
        self.values = {"task_id": self.user.create(title=self.marker)["id"], **self._given}
        for operation in self.ordered(_WRITES):
            request = self.request(operation)
            response = request.send(self.user.client)
            yield request, response
            self._learn(operation, response)

    def ordered(self, methods: Sequence[str]) -> list[Operation]:
        """Return the operations with these methods: parents first, in the order of the methods."""
        chosen = [each for each in self._operations if each.method in methods]
        return sorted(chosen, key=lambda each: (each.path.count("/"), methods.index(each.method)))

    def request(
        self, operation: Operation, values: Mapping[str, Any] | None = None, what: str = ""
    ) -> Request:
        """Return a request that should succeed; `values` replace the user's own in the path."""
        for name in operation.path_parameters:
            if name not in self.values:
                self.values[name] = self._find(operation, name)
        path = operation.path
        for name in operation.path_parameters:
            value = (values or {}).get(name, self.values[name])
            path = path.replace(f"{{{name}}}", quote(str(value), ""))
        query = {
            each["name"]: self.values.get(each["name"], self._sample(operation, each["schema"]))
            for each in operation.parameters("query")
            if each.get("required")
        }
        return Request(operation, path, _as_query(query), self.body(operation), what)

    def body(self, operation: Operation) -> Any:
        """Return a valid body; None if the operation has none."""
        if operation.name in self._bodies:
            return self._bodies[operation.name]
        schema = operation.body_schema
        return None if schema is None else self._sample(operation, schema)

    def with_foreign_ids(
        self, operation: Operation, other: "Actor", ids: Iterable[Any]
    ) -> Iterator[Request]:
        """Return requests with ids of another user's in the path, the query and the body."""
        ids = list(ids)
        if operation.path_parameters:
            yield self.request(operation, other.values, " with another user's id in the path")
        else:
            yield self.request(operation)
        own = self.request(operation)
        for parameter in operation.parameters("query"):
            for value in ids if _takes_text(operation, parameter["schema"]) else ():
                query, name = {**own.query, parameter["name"]: value}, parameter["name"]
                yield Request(
                    operation, own.path, query, own.body, f" with another user's id as {name}"
                )
        bodies = list(_with_ids(own.body, ids))
        if isinstance(own.body, dict):
            bodies.append(("user_id", {**own.body, "user_id": other.user.sub}))
        for name, body in bodies:
            what = f" with another user's id as {name} in the body"
            yield Request(operation, own.path, own.query, body, what)

    def _sample(self, operation: Operation, schema: Json) -> Any:
        return sample(operation, schema, self.marker, self.values)

    def _find(self, operation: Operation, name: str) -> Any:
        """Return the value of a path parameter: of a row in the list above it, or a sample."""
        above = operation.path.partition(f"/{{{name}")[0]
        for each in self._operations:
            if each.method == "GET" and each.path == above:
                items = self.request(each).send(self.user.client).json()
                items = items.get("items", items) if isinstance(items, dict) else items
                if isinstance(items, list) and items and isinstance(items[0], dict):
                    return items[0].get(name, items[0].get("id"))
        schemas = [each["schema"] for each in operation.parameters("path") if each["name"] == name]
        return self._sample(operation, schemas[0] if schemas else {})

    def _learn(self, operation: Operation, response: httpx2.Response) -> None:
        """Keep the id of a row that was created, under the names that paths below have for it."""
        content = _json(response)
        if operation.method != "POST" or not isinstance(content, dict) or "id" not in content:
            return
        for each in self._operations:
            below = re.match(re.escape(operation.path) + r"/{(\w+)", each.path)
            if below and below[1] not in self._given:
                self.values[below[1]] = content["id"]


def _with_ids(content: Any, ids: Iterable[Any], name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the content with another id in each place for one, with the name of the place."""
    if isinstance(content, dict):
        for key, value in content.items():
            for where, changed in _with_ids(value, ids, key):
                yield where, {**content, key: changed}
    elif isinstance(content, list):
        for number, value in enumerate(content):
            for where, changed in _with_ids(value, ids, name):
                yield where, [*content[:number], changed, *content[number + 1 :]]
    elif _ID.search(name):
        yield from ((name, value) for value in ids if type(value) is type(content))


def _json(response: httpx2.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _as_query(values: Json) -> Json:
    return {name: json.dumps(v) if isinstance(v, bool) else v for name, v in values.items()}


def _takes_text(operation: Operation, schema: Json) -> bool:
    schema = operation.resolve(schema)
    kinds = [operation.resolve(each) for each in schema.get("anyOf", [schema])]
    kinds += [operation.resolve(each["items"]) for each in kinds if "items" in each]
    return any(kind_of(each) == "string" and "enum" not in each for each in kinds)
