"""One path of the API and its methods, in the order of checks: 405, then the gate.

FastAPI's own routes read a body before any dependency runs, and list only the first of several
routes in `Allow`. A `Resource` holds all operations of one path, so `Allow` is complete, and calls
the gate before FastAPI's handler. Only resources can be mounted.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, NamedTuple

from fastapi import APIRouter
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from starlette.convertors import Convertor
from starlette.datastructures import URLPath
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import ASGIApp, Receive, Scope, Send

from tasks_backend.errors import MethodNotAllowed
from tasks_backend.http.fast_path import compile_endpoint
from tasks_backend.http.limiter import Place
from tasks_backend.http.receive import ReceivedBody
from tasks_backend.http.request_record import get_record
from tasks_backend.http.validation import require_few_parameters

Gate = Callable[[Scope, Receive], Awaitable[tuple[ReceivedBody, Place]]]
"""Checks a request or raises; returns its body and the place that it has until the response."""


class _Operation(NamedTuple):
    """What each request needs of an operation; FastAPI's RouteContext computes it anew each time."""

    pattern: re.Pattern[str]
    convertors: dict[str, Convertor[Any]]
    route: BaseRoute
    endpoint: Callable[..., Any] | None
    app: ASGIApp
    fast_path: Callable[[Request], Awaitable[Response]] | None


class Resource(BaseRoute):
    """All operations on one path, behind one gate."""

    def __init__(self, operations: Iterable[RouteContext], gate: Gate, *, public: bool) -> None:
        self.operations = tuple(operations)
        self.path = self.operations[0].path_format or ""
        self.public = public
        self._gate = gate
        self._by_method = {
            method: _compiled(operation)
            for operation in self.operations
            for method in operation.methods or ()
        }
        if "GET" in self._by_method:  # the response's body is not sent (RFC 9110, 9.3.2)
            self._by_method.setdefault("HEAD", self._by_method["GET"])
        self._first = next(iter(self._by_method.values()))
        self._allow = ", ".join(sorted(self._by_method))

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match by path alone, so that a wrong method is answered here, with a complete `Allow`."""
        if scope["type"] != "http":
            return Match.NONE, {}
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        operation = self._by_method.get(scope["method"], self._first)
        matched = operation.pattern.fullmatch(path)
        if matched is None:
            return Match.NONE, {}
        try:
            values = {
                name: operation.convertors[name].convert(text)
                for name, text in matched.groupdict().items()
            }
        except ValueError:  # a number with more digits than int() reads
            return Match.NONE, {}
        return Match.FULL, {"path_params": {**scope.get("path_params", {}), **values}}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the gate, and then the operation."""
        if (record := get_record()) is not None:
            record.route = self.path
        operation = self._by_method.get(scope["method"])
        if operation is None:
            raise MethodNotAllowed(headers={"Allow": self._allow})
        scope["route"], scope["endpoint"] = operation.route, operation.endpoint
        body, place = await self._gate(scope, receive)
        with place:
            if operation.fast_path is None or scope["app"].dependency_overrides:
                require_few_parameters(scope["query_string"])
                await operation.app(scope, body, send)
                return
            response = await operation.fast_path(Request(scope, body, send))
            await response(scope, body, send)

    def url_path_for(self, name: str, /, **path_params: object) -> URLPath:
        """Return the path of the operation with this name. Raises NoMatchFound."""
        for operation in self.operations:
            if operation.name == name:
                return URLPath(operation.url_path_for(name, **path_params))
        raise NoMatchFound(name, path_params)


def _compiled(operation: RouteContext) -> _Operation:
    return _Operation(
        operation.path_regex,
        operation.param_convertors,
        operation.original_route,
        operation.endpoint,
        operation.app,
        compile_endpoint(operation),
    )


def resources(
    router: APIRouter, gate: Gate, *, prefix: str = "", public: bool = False
) -> Iterator[Resource]:
    """Return one resource for each path of a router, under the prefix.

    Raises TypeError for anything but plain operations: mounted applications and WebSockets would
    bypass the gate.
    """
    holder = APIRouter()
    holder.include_router(
        router,
        prefix=prefix,
        generate_unique_id_function=lambda route: _operation_id(prefix, route),
    )
    by_path: dict[str, list[RouteContext]] = {}
    for operation in iter_route_contexts(holder.routes):
        if not isinstance(operation.original_route, APIRoute):
            kind = type(operation.original_route).__name__
            raise TypeError(f"a {kind} at {operation.path or prefix} cannot be mounted")
        by_path.setdefault(re.sub(r"\{[^}:]*", "{", operation.path or ""), []).append(operation)
    for operations in by_path.values():
        yield Resource(operations, gate, public=public)


def _operation_id(prefix: str, route: APIRoute) -> str:
    """Return a stable id for generated clients, such as `tasks_v1_create_task`."""
    version, _, name = prefix.removeprefix("/api/").partition("/")
    name = re.sub("[^a-z0-9]+", "_", re.sub("{[^}]*}", "", name))
    return "_".join(part for part in (name, version, route.name) if part)
