"""The OpenAPI document: what FastAPI derives, and what this service's own way adds to it.

Bodies are taken after the gate and failures have one shape, neither of which FastAPI can know;
so routes name their body's model and their errors with `body` and `problems`, and `document`
adds what every closed operation shares.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, Field

from tasks_backend.errors import (
    MEDIA_TYPE,
    ApiError,
    AuthUnavailable,
    DatabaseUnavailable,
    DeadlineExceeded,
    ExpiredToken,
    InternalError,
    InvalidToken,
    MissingToken,
    Overloaded,
    problem,
)
from tasks_backend.resource import Resource

_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_SCHEME = "bearerAuth"


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
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
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


def problems(*errors: type[ApiError]) -> dict[int | str, dict[str, Any]]:
    """Return the descriptions of these failures, by status, each with an example."""
    by_status: dict[int | str, list[type[ApiError]]] = defaultdict(list)
    for error in errors:
        by_status[error.status].append(error)
    return {status: _responses(same) for status, same in by_status.items()}


def _responses(errors: list[type[ApiError]]) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    examples = {}
    for kind in errors:
        error = kind()
        examples[kind.code] = {
            "summary": kind.title,
            "value": orjson.loads(problem(error, "/api/v1/tasks", "c0ffee")),
        }
        for name, value in (error.headers or {}).items():
            headers[name] = {"schema": {"type": "string"}, "example": value}
    described: dict[str, Any] = {
        "description": " · ".join(dict.fromkeys(kind.summary for kind in errors)),
        "content": {MEDIA_TYPE: {"schema": _PROBLEM, "examples": examples}},
    }
    if headers:
        described["headers"] = headers
    return described


_EVERY_CLOSED = problems(
    *(MissingToken, InvalidToken, ExpiredToken),
    InternalError,
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
        description=app.description,
        routes=[operation for resource in mounted for operation in resource.operations],
        servers=[{"url": app.root_path or "/"}],
    )
    schemas = described.setdefault("components", {}).setdefault("schemas", {})
    closed = {resource.path for resource in mounted if not resource.public}
    for path, operation in _operations(described):
        operation["responses"].pop("422", None) if _is_fastapis_own(operation) else None
        _hoist_body(operation, schemas)
        if path in closed:
            operation["security"] = [{_SCHEME: []}]
            operation["responses"] |= {
                str(status): response
                for status, response in _EVERY_CLOSED.items()
                if str(status) not in operation["responses"]
            }
        operation["responses"] = dict(sorted(operation["responses"].items()))
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= {**schema.pop("$defs"), "Problem": schema}
    described["components"]["schemas"] = dict(sorted(schemas.items()))
    described["components"]["securitySchemes"] = {
        _SCHEME: {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A token of Better Auth's JWT plugin.",
        }
    }
    return described


def _operations(described: dict[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    for path, methods in described["paths"].items():
        for operation in methods.values():
            yield path, operation


def _is_fastapis_own(operation: dict[str, Any]) -> bool:
    """Whether the 422 is the one that FastAPI adds by itself, in a shape that we never send."""
    return "application/json" in operation["responses"].get("422", {}).get("content", {})


def _hoist_body(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Give the body's schema its name among the components, as generated clients want it."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = content["schema"]
        if "title" in schema:
            schemas[schema["title"]] = schema
            content["schema"] = {"$ref": f"#/components/schemas/{schema['title']}"}
