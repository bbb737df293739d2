"""The operations of an application, with what its document says about each of them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from tasks_backend.http.resource import Resource

Json = dict[str, Any]


@dataclass(frozen=True)
class Operation:
    """One method of one path. `described` is empty if the document does not list it."""

    method: str
    path: str
    public: bool
    allowed: frozenset[str]
    described: Json
    document: Json

    @property
    def name(self) -> str:
        """The method and the path, such as `GET /api/v1/notes/{note_id}`."""
        return f"{self.method} {self.path}"

    @property
    def path_parameters(self) -> list[str]:
        """The names of the path's parameters, in order."""
        return re.findall(r"{(\w+)", self.path)

    def parameters(self, location: str) -> list[Json]:
        """Return the described parameters in the query, the path or the headers."""
        declared: Iterable[Json] = self.described.get("parameters", ())
        return [
            {"schema": {}, **parameter}
            for parameter in map(self.resolve, declared)
            if parameter["in"] == location
        ]

    @property
    def body_schema(self) -> Json | None:
        """The schema of the JSON body; None without one."""
        content = self.resolve(self.described.get("requestBody", {})).get("content", {})
        for media_type, described in content.items():
            if media_type.endswith("json"):
                return self.resolve(described.get("schema", {}))
        return None

    def resolve(self, schema: Mapping[str, Any]) -> Json:
        """Return what a reference refers to."""
        while "$ref" in schema:
            found: Any = self.document
            for part in schema["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            schema = found
        return dict(schema)


def operations_of(app: FastAPI, others: Iterable[str]) -> list[Operation]:
    """Return the operations of an application that are at none of these paths."""
    document, skipped = app.openapi(), set(others)
    return [
        Operation(
            method,
            resource.path,
            resource.public,
            frozenset(m for each in resource.operations for m in each.methods or ()),
            document["paths"].get(resource.path, {}).get(method.lower(), {}),
            document,
        )
        for resource in app.routes
        if isinstance(resource, Resource) and resource.path not in skipped
        for operation in resource.operations
        for method in sorted(operation.methods or ())
    ]
