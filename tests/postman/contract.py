"""The contract of the document: operations and their answers, by status and problem code."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

PROBLEM = "application/problem+json"
Cell = tuple[str, int, str]
"""An operation's id, a status, and a problem's code: empty where the request succeeds."""


@dataclass(frozen=True)
class Operation:
    """One operation. `body` is the document's first example, None without a body."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    closed: bool
    media_type: str | None
    body: Any
    responses: dict[str, Any]

    def cells(self) -> Iterator[Cell]:
        for status, response in self.responses.items():
            codes = response.get("content", {}).get(PROBLEM, {}).get("examples", {"": None})
            for code in codes:
                yield self.id, int(status), code


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            content = described.get("requestBody", {}).get("content", {})
            media_type = next(iter(content), None)
            shown = content[media_type]["examples"].values() if media_type else ()
            yield Operation(
                described["operationId"],
                method.upper(),
                path,
                described["summary"],
                described["description"],
                bool(described["security"]),
                media_type,
                next((example["value"] for example in shown), None),
                described["responses"],
            )


def resolved(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """A part of the document, with its reference resolved."""
    found: Any = part
    if "$ref" in part:
        found = document
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
    return dict(found)


_VALIDATING = {
    "type",
    "required",
    "enum",
    "const",
    "format",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
}


def shape(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """A standalone schema with only validating keywords, and without additional members."""
    schema = resolved(document, schema)
    bare = {key: value for key, value in schema.items() if key in _VALIDATING}
    if "items" in schema:
        bare["items"] = shape(document, schema["items"])
    if "properties" in schema:
        fields = schema["properties"].items()
        bare["properties"] = {name: shape(document, field) for name, field in fields}
        bare["additionalProperties"] = False
    return bare
