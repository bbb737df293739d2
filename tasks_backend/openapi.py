"""The OpenAPI document: what FastAPI derives, and what this service's own way adds to it.

Bodies are taken after the gate and failures have one shape, neither of which FastAPI can know;
so routes name their body's model and their errors with `body` and `problems`, and `document`
adds what every operation shares.
"""

from collections import defaultdict
from collections.abc import Iterator
from copy import deepcopy
from itertools import chain, count
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, Field

from tasks_backend.errors import (
    MEDIA_TYPE,
    REALM,
    ApiError,
    AuthUnavailable,
    BadRequest,
    DatabaseUnavailable,
    DeadlineExceeded,
    ExpiredToken,
    InternalError,
    InvalidToken,
    MissingToken,
    Overloaded,
    PayloadTooLarge,
    ValidationFailed,
    problem,
)
from tasks_backend.resource import Resource

_ABOUT = """\
Operations with a lock need a token of Better Auth's; the caller is its `sub`.

Every failure is a `Problem` (RFC 9457), and its `code` says what happened. An address that does
not exist is a 404 `not_found`, a method that an address does not take a 405 `method_not_allowed`.
"""
_SCHEMAS = "#/components/schemas/{model}"
_SCHEME = "bearerAuth"
_AND = " · "
_REQUEST_ID = "4f0c2d7e9b1a4c3d8e5f6a7b8c9d0e1f"
_HEADERS: dict[str, dict[str, Any]] = {
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
        "example": _REQUEST_ID,
    },
}


class FieldError(BaseModel):
    """One thing that is wrong with one field."""

    field: str = Field(description="Its name; empty for the whole or for unknown fields.")
    location: str = Field(description="body, query, path or header.")
    code: str = Field(description="What is wrong, for a program.", examples=["string_too_short"])
    message: str = Field(description="What is wrong, for a person.", examples=["must not be empty"])


class Problem(BaseModel):
    """The shape of every failure (RFC 9457)."""

    type: str = Field(description="A relative reference that names the kind of problem.")
    title: str = Field(description="The kind of problem in a few words.")
    status: int = Field(description="The HTTP status again.")
    detail: str = Field(description="What happened, in a sentence.")
    instance: str = Field(description="The path that was asked for.")
    code: str = Field(description="The kind of problem, for a program: docs/errors.md lists all.")
    request_id: str = Field(description="The X-Request-Id of this response.")
    errors: list[FieldError] = Field(description="Empty when no single field is at fault.")


def body(model: type[BaseModel], *media_types: str) -> dict[str, Any]:
    """Return the description of a request body of these media types."""
    schema = model.model_json_schema(ref_template=_SCHEMAS)
    return {"required": True, "content": {name: {"schema": schema} for name in media_types}}


def header(name: str, description: str, schema: dict[str, Any], example: str) -> dict[str, Any]:
    """Return the description of an optional request header."""
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string", **schema},
        "example": example,
    }


def problems(*errors: type[ApiError] | ApiError) -> dict[int | str, dict[str, Any]]:
    """Return the descriptions of these failures, by status, each with an example.

    An error is given as itself, not as its class, where an example without `errors` would be poor.
    """
    by_status: dict[int | str, list[ApiError]] = defaultdict(list)
    for kind in errors:
        error = kind if isinstance(kind, ApiError) else kind()
        by_status[error.status].append(error)
    return {status: _response(same) for status, same in by_status.items()}


def _response(errors: list[ApiError]) -> dict[str, Any]:
    examples = {
        error.code: {
            "summary": error.title,
            "value": orjson.loads(problem(error, "/", _REQUEST_ID)),
        }
        for error in errors
    }
    headers = {name: value for error in errors for name, value in (error.headers or {}).items()}
    return {
        "description": _AND.join(dict.fromkeys(error.summary for error in errors)),
        "headers": {name: _header_of_a_failure(name, headers[name]) for name in sorted(headers)},
        "content": {
            MEDIA_TYPE: {"schema": {"$ref": _SCHEMAS.format(model="Problem")}, "examples": examples}
        },
    }


def _header_of_a_failure(name: str, example: str) -> dict[str, Any]:
    if name in _HEADERS:
        return {"$ref": f"#/components/headers/{name}"}
    return {"schema": {"type": "string"}, "example": example}


_INVALID = problems(ValidationFailed)
_EVERY = problems(BadRequest, PayloadTooLarge, InternalError)
_EVERY_CLOSED = problems(
    *(MissingToken, InvalidToken, ExpiredToken),
    *(DatabaseUnavailable, AuthUnavailable, Overloaded),
    DeadlineExceeded,
)


def document(app: FastAPI) -> dict[str, Any]:
    """Return the document of all resources of the application."""
    mounted = [route for route in app.routes if isinstance(route, Resource)]
    described: dict[str, Any] = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=_ABOUT,
        routes=[operation for resource in mounted for operation in resource.operations],
        servers=[{"url": app.root_path or "/"}],
    )
    components = described.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    closed = {resource.path for resource in mounted if not resource.public}
    tags: dict[str, None] = {}
    for path, operation in _operations(described):
        _name_the_body(operation, schemas)
        _leave_null_to_json(operation)
        _complete(operation, path, closed=path in closed)
        tags |= dict.fromkeys(operation.get("tags", ()))
    described["tags"] = [{"name": tag} for tag in tags]
    problem_schema = Problem.model_json_schema(ref_template=_SCHEMAS)
    schemas |= {**problem_schema.pop("$defs"), "Problem": problem_schema}
    components["schemas"] = dict(sorted(schemas.items()))
    components["headers"] = _HEADERS
    components["securitySchemes"] = {
        _SCHEME: {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A token of Better Auth's JWT plugin.",
        }
    }
    return described


def _operations(described: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in described["paths"].items():
        for operation in methods.values():
            yield path, operation


def _name_the_body(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
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
        content["schema"] = {"$ref": _SCHEMAS.format(model=name)}


def _leave_null_to_json(operation: dict[str, Any]) -> None:
    """Take `null` out of the parameters' schemas: it is Python's word for an absent parameter, and
    a query that says `null` is refused.
    """
    for parameter in operation.get("parameters", ()):
        match parameter:
            case {"schema": {"anyOf": [{**meant}, {"type": "null"}]} as schema}:
                del schema["anyOf"]
                schema |= meant


def _complete(operation: dict[str, Any], path: str, *, closed: bool) -> None:
    """Add the failures that every operation shares, and what every response carries."""
    responses = operation["responses"]
    if "application/json" in responses.get("422", {}).get("content", {}):
        del responses["422"]  # FastAPI's own, in a shape that is never sent
        _add(responses, _INVALID)
    _add(responses, _EVERY)
    if closed:
        _add(responses, _EVERY_CLOSED)
    operation["security"] = [{_SCHEME: []}] if closed else []
    operation["responses"] = dict(sorted(responses.items()))
    for response in responses.values():
        headers = response.setdefault("headers", {})
        headers["X-Request-Id"] = {"$ref": "#/components/headers/X-Request-Id"}
        for example in response.get("content", {}).get(MEDIA_TYPE, {}).get("examples", {}).values():
            example["value"]["instance"] = path


def _add(responses: dict[str, Any], failures: dict[int | str, dict[str, Any]]) -> None:
    """Add these failures; one of a status that the operation has already joins it there."""
    for status, failure in deepcopy(failures).items():
        own = responses.setdefault(str(status), failure)
        if own is failure:
            continue
        sentences = [*own["description"].split(_AND), *failure["description"].split(_AND)]
        own["description"] = _AND.join(dict.fromkeys(sentences))
        own["headers"] = failure["headers"] | own.get("headers", {})
        added = failure["content"][MEDIA_TYPE]
        content = own.setdefault("content", {}).setdefault(MEDIA_TYPE, added)
        content["examples"] = content.get("examples", {}) | added["examples"]
