"""Descriptions of routes: request body, headers, failures and tag."""

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Self

import orjson
from pydantic import BaseModel

from tasks_backend.errors import MEDIA_TYPE, REALM, ApiError
from tasks_backend.http.problem import problem

SCHEMAS = "#/components/schemas/{model}"
SEPARATOR = " · "
REQUEST_ID = "4f0c2d7e9b1a4c3d8e5f6a7b8c9d0e1f"
HEADERS: dict[str, dict[str, Any]] = {
    "Allow": {
        "description": "The methods that the address takes (RFC 9110).",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Z]+(, [A-Z]+)*$"},
        "example": "GET, POST",
    },
    "Retry-After": {
        "description": "After how many seconds it is worth repeating the request.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
        "example": 1,
    },
    "WWW-Authenticate": {
        "description": "The challenge (RFC 6750). It names an error only if a token was sent.",
        "required": True,
        "schema": {"type": "string", "pattern": '^Bearer realm="[^"]*"(, [a-z_]+="[^"]*")*$'},
        "example": f'{REALM}, error="invalid_token"',
    },
    "X-Request-Id": {
        "description": "The name of this request in the log: yours, if you sent one of this form.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
        "example": REQUEST_ID,
    },
}
"""Response headers of any operation, on failures or on every response; Allow only on a 405."""


class Tag(str):
    """A tag's name with the description that the document shows for it."""

    description: str
    __slots__ = ("description",)

    def __new__(cls, name: str, description: str) -> Self:
        """Return the name; it compares and prints as plain text."""
        tag = super().__new__(cls, name)
        tag.description = description
        return tag


def body(
    model: type[BaseModel], *media_types: str, examples: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the description of a request body of these media types.

    The documentation page shows the names of the examples.
    """
    schema = model.model_json_schema(ref_template=SCHEMAS)
    content: dict[str, Any] = {"schema": schema}
    if examples:
        content["examples"] = _named(examples)
    return {"required": True, "content": {name: dict(content) for name in media_types}}


def json_response(description: str, examples: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description of a JSON response. The page shows the names of the examples."""
    content = {"application/json": {"examples": _named(examples)}}
    return {"description": description, "content": content}


def _named(examples: Mapping[str, Any]) -> dict[str, Any]:
    return {
        re.sub("[^a-z0-9]+", "_", summary.lower()): {"summary": summary, "value": value}
        for summary, value in examples.items()
    }


def header(name: str, description: str, schema: dict[str, Any], example: str) -> dict[str, Any]:
    """Return the description of an optional request header.

    The example belongs to the schema: documentation pages would send a parameter's own example.
    """
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string", **schema, "examples": [example]},
    }


def problems(*errors: type[ApiError] | ApiError) -> dict[int | str, dict[str, Any]]:
    """Return the descriptions of these failures, by status, each with an example.

    Pass an instance instead of a class if the example needs `errors`.
    """
    by_status: dict[int | str, list[ApiError]] = defaultdict(list)
    for given in errors:
        error = given if isinstance(given, ApiError) else given()
        by_status[error.status].append(error)
    return {status: _response(group) for status, group in by_status.items()}


def _response(errors: list[ApiError]) -> dict[str, Any]:
    examples = {
        error.code: {
            "summary": error.title,
            "value": orjson.loads(problem(error, "/", REQUEST_ID).body),
        }
        for error in errors
    }
    headers = {name: value for error in errors for name, value in (error.headers or {}).items()}
    always = set.intersection(*({*(error.headers or {})} for error in errors))
    return {
        "description": SEPARATOR.join(dict.fromkeys(map(_sentence, errors))),
        "headers": {
            name: _failure_header(name, headers[name], always=name in always)
            for name in sorted(headers)
        },
        "content": {
            MEDIA_TYPE: {"schema": {"$ref": SCHEMAS.format(model="Problem")}, "examples": examples}
        },
    }


def _sentence(error: ApiError) -> str:
    return error.summary if error.errors else str(error.detail)


def _failure_header(name: str, example: str, *, always: bool) -> dict[str, Any]:
    """Return a header's description; it is optional unless all failures of the status have it."""
    if name not in HEADERS:
        return {"schema": {"type": "string"}, "example": example}
    if always:
        return {"$ref": f"#/components/headers/{name}"}
    return {**HEADERS[name], "required": False}
