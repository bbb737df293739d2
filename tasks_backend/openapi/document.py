"""Build the document from the mounted resources."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import RouteContext

from tasks_backend.http.resource import Resource
from tasks_backend.openapi.describe import HEADERS, SCHEMAS, Tag
from tasks_backend.openapi.problem_schema import Problem
from tasks_backend.openapi.responses import SCHEME, add_common_responses, codes, unmatched_responses
from tasks_backend.openapi.schemas import move_body_schema, normalise, remove_null

_ABOUT = """\
Operations with a lock need a token of Better Auth's; the caller is its `sub`.

Every failure is a `Problem` (RFC 9457), and its `code` says what happened. An address that does
not exist is a 404 `not_found`, a method that an address does not take a 405 `method_not_allowed`
with `Allow`. Every response carries `X-Request-Id`, `Cache-Control: no-store` and
`X-Content-Type-Options: nosniff`. HEAD is answered wherever GET is. The length of a text is its
number of Unicode code points.
"""
_UNMATCHED = "x-of-no-operation"


def document(app: FastAPI) -> dict[str, Any]:
    """Return the document of all resources; it is built once, because it never changes."""
    if app.openapi_schema is None:
        app.openapi_schema = _document(app)
    return app.openapi_schema


def _document(app: FastAPI) -> dict[str, Any]:
    mounted = [route for route in app.routes if isinstance(route, Resource)]
    shown = [route for resource in mounted for route in resource.operations if _is_shown(route)]
    described: dict[str, Any] = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=_ABOUT,
        license_info={"name": "MIT", "identifier": "MIT"},
        routes=shown,
        servers=[{"url": app.root_path or "/", "description": "The host that answered."}],
    )
    components = described.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for route in shown:
        _restore_examples(described, route)
    closed = {resource.path for resource in mounted if not resource.public}
    for path, operation in _operations(described):
        move_body_schema(operation, schemas)
        remove_null(operation)
        add_common_responses(operation, path, closed=path in closed)
    described["tags"] = _tags(shown)
    problem_schema = Problem.model_json_schema(ref_template=SCHEMAS)
    schemas |= {**problem_schema.pop("$defs"), "Problem": problem_schema}
    components["responses"], described[_UNMATCHED] = unmatched_responses()
    components["headers"] = deepcopy(HEADERS)
    components["securitySchemes"] = {
        SCHEME: {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A token of Better Auth's JWT plugin, by itself: without the word Bearer.",
        }
    }
    known = codes(described)
    problem_schema["properties"]["code"] |= {
        "description": f"The kind of problem, for a program. More may be added. Known: {', '.join(known)}.",
        "examples": known,
    }
    normalise(described)
    return described


def _operations(described: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in described["paths"].items():
        for operation in methods.values():
            yield path, operation


def _restore_examples(described: dict[str, Any], route: RouteContext) -> None:
    """Restore a route's examples, because FastAPI removes every `null` from them."""
    for method in route.methods or ():
        operation = described["paths"][route.path_format][method.lower()]
        pairs = [(operation.get("requestBody"), (route.openapi_extra or {}).get("requestBody", {}))]
        pairs += [
            (operation["responses"][str(status)], response)
            for status, response in (route.responses or {}).items()
        ]
        for target, source in pairs:
            for media_type, content in source.get("content", {}).items():
                if "examples" in content:
                    target["content"][media_type]["examples"] = deepcopy(content["examples"])


def _is_shown(route: RouteContext) -> bool:
    return bool(route.include_in_schema)


def _tags(shown: list[RouteContext]) -> list[dict[str, str]]:
    """Return the tags in order of first use, with the description of each Tag."""
    tags: dict[str, dict[str, str]] = {}
    for tag in (tag for route in shown for tag in route.tags or ()):
        about = {"description": tag.description} if isinstance(tag, Tag) else {}
        tags[str(tag)] = {"name": str(tag), **tags.get(str(tag), {}), **about}
    return list(tags.values())
