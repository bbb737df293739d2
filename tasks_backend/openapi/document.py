"""The whole document, from the resources that are mounted."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import RouteContext

from tasks_backend.errors import (
    MEDIA_TYPE,
    ApiError,
    AuthUnavailable,
    BadRequest,
    DatabaseUnavailable,
    DeadlineExceeded,
    ExpiredToken,
    InternalError,
    InvalidToken,
    MethodNotAllowed,
    MissingToken,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    ValidationFailed,
)
from tasks_backend.openapi.parts import AND, HEADERS, SCHEMAS, Tag, problems
from tasks_backend.openapi.schemas import leave_null_to_json, name_the_body, tidy
from tasks_backend.openapi.shapes import Problem
from tasks_backend.resource import Resource

_ABOUT = """\
Operations with a lock need a token of Better Auth's; the caller is its `sub`.

Every failure is a `Problem` (RFC 9457), and its `code` says what happened. An address that does
not exist is a 404 `not_found`, a method that an address does not take a 405 `method_not_allowed`
with `Allow`. Every response carries `X-Request-Id`, `Cache-Control: no-store` and
`X-Content-Type-Options: nosniff`.
"""
_SCHEME = "bearerAuth"
_OF_NO_OPERATION = "x-of-no-operation"
_INVALID = problems(ValidationFailed)
_EVERY = problems(BadRequest, PayloadTooLarge, InternalError)
_EVERY_CLOSED = problems(
    *(MissingToken, InvalidToken, ExpiredToken),
    *(DatabaseUnavailable, AuthUnavailable, Overloaded),
    DeadlineExceeded,
)


def document(app: FastAPI) -> dict[str, Any]:
    """Return the document of all resources of the application, made once: it never changes."""
    if app.openapi_schema is None:
        app.openapi_schema = _document(app)
    return app.openapi_schema


def _document(app: FastAPI) -> dict[str, Any]:
    mounted = [route for route in app.routes if isinstance(route, Resource)]
    described: dict[str, Any] = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=_ABOUT,
        license_info={"name": "MIT", "identifier": "MIT"},
        routes=[operation for resource in mounted for operation in resource.operations],
        servers=[{"url": app.root_path or "/", "description": "The host that answered."}],
    )
    components = described.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for resource in mounted:
        for route in resource.operations:
            _give_back_examples(described, route)
    closed = {resource.path for resource in mounted if not resource.public}
    for path, operation in _operations(described):
        name_the_body(operation, schemas)
        leave_null_to_json(operation)
        _complete(operation, path, closed=path in closed)
    described["tags"] = _tags(mounted)
    problem_schema = Problem.model_json_schema(ref_template=SCHEMAS)
    schemas |= {**problem_schema.pop("$defs"), "Problem": problem_schema}
    components["responses"] = {
        "NotFound": _of_no_operation(NotFound(), "/api/v1/nothing"),
        "MethodNotAllowed": _of_no_operation(
            MethodNotAllowed(headers={"Allow": "GET, POST"}), "/api/v1/tasks"
        ),
    }
    described[_OF_NO_OPERATION] = {
        "404": {"$ref": "#/components/responses/NotFound"},
        "405": {"$ref": "#/components/responses/MethodNotAllowed"},
    }
    components["headers"] = HEADERS
    components["securitySchemes"] = {
        _SCHEME: {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A token of Better Auth's JWT plugin.",
        }
    }
    problem_schema["properties"]["code"]["enum"] = _codes(described)
    tidy(described)
    return described


def _codes(described: dict[str, Any]) -> list[str]:
    """Return the code of every failure that the document has, a plugin's among them."""
    responses = list(described["components"]["responses"].values())
    for _, operation in _operations(described):
        responses += operation["responses"].values()
    contents = [response.get("content", {}).get(MEDIA_TYPE, {}) for response in responses]
    return sorted({code for content in contents for code in content.get("examples", {})})


def _operations(described: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in described["paths"].items():
        for operation in methods.values():
            yield path, operation


def _give_back_examples(described: dict[str, Any], route: RouteContext) -> None:
    """Put a route's examples in again, as they were: FastAPI leaves every `null` out of them."""
    for method in route.methods or ():
        operation = described["paths"][route.path_format][method.lower()]
        pairs = [(operation.get("requestBody"), (route.openapi_extra or {}).get("requestBody", {}))]
        pairs += [
            (operation["responses"][str(status)], response)
            for status, response in (route.responses or {}).items()
        ]
        for shown, own in pairs:
            for media_type, content in own.get("content", {}).items():
                if "examples" in content:
                    shown["content"][media_type]["examples"] = deepcopy(content["examples"])


def _tags(mounted: list[Resource]) -> list[dict[str, str]]:
    """Return the tags in the order in which they first occur; a Tag brings its description."""
    tags: dict[str, dict[str, str]] = {}
    for resource in mounted:
        for tag in (tag for operation in resource.operations for tag in operation.tags or ()):
            about = {"description": tag.description} if isinstance(tag, Tag) else {}
            tags[str(tag)] = {"name": str(tag), **tags.get(str(tag), {}), **about}
    return list(tags.values())


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
    instance = _example_of(path, operation)
    for response in responses.values():
        _enveloped(response, instance)


def _add(responses: dict[str, Any], failures: dict[int | str, dict[str, Any]]) -> None:
    """Add these failures; one of a status that the operation has already joins it there."""
    for status, failure in deepcopy(failures).items():
        own = responses.setdefault(str(status), failure)
        if own is failure:
            continue
        sentences = [*own["description"].split(AND), *failure["description"].split(AND)]
        own["description"] = AND.join(dict.fromkeys(sentences))
        own["headers"] = failure["headers"] | own.get("headers", {})
        added = failure["content"][MEDIA_TYPE]
        content = own.setdefault("content", {}).setdefault(MEDIA_TYPE, added)
        content["examples"] = content.get("examples", {}) | added["examples"]


def _of_no_operation(error: ApiError, instance: str) -> dict[str, Any]:
    """Return the response to a request that no operation takes."""
    (response,) = problems(error).values()
    _enveloped(response, instance)
    return response


def _enveloped(response: dict[str, Any], instance: str) -> None:
    """Give a response what every one carries, and its examples the path that was asked for."""
    headers = response.setdefault("headers", {})
    headers["X-Request-Id"] = {"$ref": "#/components/headers/X-Request-Id"}
    for example in response.get("content", {}).get(MEDIA_TYPE, {}).get("examples", {}).values():
        example["value"]["instance"] = instance


def _example_of(path: str, operation: dict[str, Any]) -> str:
    """Return the path with its parameters' examples in their places."""
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path" and (examples := parameter["schema"].get("examples")):
            path = path.replace(f"{{{parameter['name']}}}", str(examples[0]))
    return path
