"""Schemas as people and generators like them, from those that pydantic makes."""

from collections.abc import Iterator
from itertools import chain, count
from typing import Any

from tasks_backend.openapi.describe import SCHEMAS

_COMPONENT = SCHEMAS.format(model="")


def name_the_body(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Move the body's schema to the components, under its own name or, if another one has that,
    a numbered one: generated clients name their types by it.
    """
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = content["schema"]
        if "title" not in schema:
            continue
        for name, part in schema.pop("$defs", {}).items():
            schemas.setdefault(name, part)
        title = schema["title"]
        names = chain([title], (f"{title}-{number}" for number in count(2)))
        name = next(name for name in names if schemas.setdefault(name, schema) == schema)
        content["schema"] = {"$ref": SCHEMAS.format(model=name)}


def leave_null_to_json(operation: dict[str, Any]) -> None:
    """Take `null` out of the parameters' schemas: it is Python's word for an absent parameter, and
    a query that says `null` is refused.
    """
    for parameter in operation.get("parameters", ()):
        match parameter:
            case {"schema": {"anyOf": [{**meant}, {"type": "null"}]} as schema}:
                del schema["anyOf"]
                schema |= meant


def normalise(described: dict[str, Any]) -> None:
    """Write schemas as 3.1 has them, and call each component by the title that its model gave it.

    A field's title says its name again, and generators would make a type of it; `type` holds
    `null` beside the other type, which keeps a nullable field's description and example in it.
    """
    schemas = described["components"]["schemas"]
    for schema in chain(schemas.values(), _schemas_of_parameters(described)):
        for part in _parts(schema):
            _join_null(part)
            if part is not schema or schema not in schemas.values():
                part.pop("title", None)
    titles = {name: schema.get("title", name) for name, schema in schemas.items()}
    names = {name: title for name, title in titles.items() if title not in schemas}
    for part in _references(described):
        name = part["$ref"].removeprefix(_COMPONENT)
        part["$ref"] = SCHEMAS.format(model=names[name]) if name in names else part["$ref"]
    described["components"]["schemas"] = {
        names.get(name, name): schemas[name]
        for name in sorted(schemas, key=lambda name: names.get(name, name))
    }


def _join_null(schema: dict[str, Any]) -> None:
    match schema:
        case {"anyOf": [{"type": str(kind)} as meant, {"type": "null"}]} if not meant.keys() & {
            "enum",
            "const",
        }:
            del schema["anyOf"]
            schema |= meant | {"type": [kind, "null"]}


def _schemas_of_parameters(described: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in described["paths"].values():
        for operation in methods.values():
            for parameter in operation.get("parameters", ()):
                yield parameter["schema"]


def _parts(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a schema and all schemas in it, outermost first."""
    yield schema
    for key in ("properties", "$defs", "patternProperties"):
        for part in schema.get(key, {}).values():
            yield from _parts(part)
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for part in schema.get(key, ()):
            yield from _parts(part)
    for key in ("items", "additionalProperties", "not"):
        if isinstance(schema.get(key), dict):
            yield from _parts(schema[key])


def _references(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)
