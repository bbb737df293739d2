"""Values that a JSON schema accepts."""

import re
import uuid
from collections.abc import Mapping
from typing import Any

from tasks_backend.testing.operations import Json, Operation

_FORMATS = {
    "date": "2030-01-01",
    "date-time": "2030-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "email": "{text}@example.com",
    "uri": "https://example.com/{text}",
    "duration": "PT1M",
}


def sample(operation: Operation, schema: Json, text: str, values: Mapping[str, Any]) -> Any:
    """Return a value that the schema accepts, with this text wherever a free text is accepted.

    A member of an object whose name is in `values` gets that value. A pattern needs an example in
    the schema, if the text does not match it.
    """
    schema = operation.resolve(schema)
    for alternatives in (schema.get("anyOf"), schema.get("oneOf")):
        if alternatives:
            first = next(each for each in alternatives if each.get("type") != "null")
            return sample(operation, first, text, values)
    for part in schema.get("allOf", ()):
        schema = {**operation.resolve(part), **schema}
    if "const" in schema or "enum" in schema:
        return schema.get("const", [*schema.get("enum", ()), None][0])
    match kind_of(schema):
        case "object":
            return _object(operation, schema, text, values)
        case "array":
            item = sample(operation, schema.get("items", {}), text, values)
            return [item] * max(1, schema.get("minItems", 1))
        case "integer" | "number":
            least = schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
            return min(least, schema.get("maximum", least))
        case "boolean":
            return True
    return _text(schema, text)


def kind_of(schema: Json) -> str:
    """Return the schema's type, without null."""
    kinds = schema.get("type", "string")
    return next(each for each in ([kinds] if isinstance(kinds, str) else kinds) if each != "null")


def _object(operation: Operation, schema: Json, text: str, values: Mapping[str, Any]) -> Json:
    members = schema.get("properties", {})
    if not members and schema.get("additionalProperties", True) is not False:
        return {"text": text}
    return {
        name: values[name] if name in values else sample(operation, member, text, values)
        for name, member in members.items()
    }


def _text(schema: Json, text: str) -> str:
    form = schema.get("format", "")
    if form == "uuid":
        return str(uuid.uuid4())
    if form in _FORMATS:
        return _FORMATS[form].format(text=text)
    text = text.ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength")]
    examples = [*schema.get("examples", ()), schema.get("example"), schema.get("default"), text]
    if re.search(schema.get("pattern", ""), text):
        return text
    return str(next(example for example in examples if example is not None))
