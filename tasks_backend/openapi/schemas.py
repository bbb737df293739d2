"""Adapt pydantic's schemas for readers and client generators."""

from collections.abc import Iterator
from itertools import chain, count
from typing import Any

from tasks_backend.openapi.describe import SCHEMAS

_COMPONENT = SCHEMAS.format(model="")


def move_body_schema(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Move the body's schema to the components, because generated clients name types after them.

    If another schema has its name, a number is added.
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


def remove_null(operation: dict[str, Any]) -> None:
    """Remove `null` from the parameters' schemas.

    None means that the parameter is absent; the service rejects `null` in a query.
    """
    for parameter in operation.get("parameters", ()):
        match parameter:
            case {"schema": {"anyOf": [{**other}, {"type": "null"}]} as schema}:
                del schema["anyOf"]
                schema |= other


def normalise(described: dict[str, Any]) -> None:
    """Write schemas in the form of OpenAPI 3.1, and name each component after its model's title.

    Titles of fields are removed: they repeat the name, and generators would create types from
    them. `null` becomes part of `type`, which keeps a nullable field's description and example.
    """
    schemas = described["components"]["schemas"]
    for schema in chain(schemas.values(), _parameter_schemas(described)):
        for part in _nested(schema):
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
        case {"anyOf": [{"type": str(kind)} as other, {"type": "null"}]} if not other.keys() & {
            "enum",
            "const",
        }:
            del schema["anyOf"]
            schema |= other | {"type": [kind, "null"]}


def _parameter_schemas(described: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in described["paths"].values():
        for operation in methods.values():
            for parameter in operation.get("parameters", ()):
                yield parameter["schema"]


def _nested(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a schema and all nested schemas, outermost first."""
    yield schema
    for key in ("properties", "$defs", "patternProperties"):
        for part in schema.get(key, {}).values():
            yield from _nested(part)
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for part in schema.get(key, ()):
            yield from _nested(part)
    for key in ("items", "additionalProperties", "not"):
        if isinstance(schema.get(key), dict):
            yield from _nested(schema[key])


def _references(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)
