"""A fast path for endpoints with few dependencies.

FastAPI checks in every request for everything that an endpoint could need: that is a sixth of a
request's cost (decision 0013). What an endpoint needs is known at the start. If it needs only path
and query parameters, the request, and asynchronous dependencies of the request alone, it is called
directly. FastAPI handles every other endpoint, and every route with a handler of its own, which may
be a check.
"""

import dataclasses
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_params_to_args
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute, RouteContext
from starlette.requests import Request
from starlette.responses import Response

from tasks_backend.http.validation import require_few_parameters

_IGNORED_FIELDS = {"name", "call", "path", "use_cache", "scope", "request_param_name"}


def compile_endpoint(operation: RouteContext) -> Callable[[Request], Awaitable[Response]] | None:
    """Return a function that responds as FastAPI would, or None if only FastAPI can.

    It raises what a dependency raises, and then RequestValidationError for parameters.
    """
    dependant: Dependant = operation.dependant
    endpoint: Any = dependant.call
    calls: list[Any] = [dependency.call for dependency in dependant.dependencies]
    if (
        getattr(type(operation.original_route), "get_route_handler", None)
        is not APIRoute.get_route_handler
        or not inspect.iscoroutinefunction(endpoint)
        or not _is_response(inspect.signature(endpoint).return_annotation)
        or _needs_more(dependant, "path_params", "query_params", "dependencies")
        or any(_needs_more(dependency) for dependency in dependant.dependencies)
        or not all(map(inspect.iscoroutinefunction, calls))
        or len(set(calls)) < len(calls)  # FastAPI would call it once and use it twice
    ):
        return None

    async def call_endpoint(request: Request) -> Response:
        values: dict[str, Any] = {}
        for dependency, call in zip(dependant.dependencies, calls, strict=True):
            parameter = dependency.request_param_name
            value = await call(**({parameter: request} if parameter else {}))
            if dependency.name:
                values[dependency.name] = value
        require_few_parameters(request.scope["query_string"])  # after 415, which comes first
        parsed, errors = request_params_to_args(dependant.path_params, request.path_params)
        values |= parsed
        if dependant.query_params:
            parsed, query_errors = request_params_to_args(
                dependant.query_params, request.query_params
            )
            values |= parsed
            errors += query_errors
        if errors:
            raise RequestValidationError(errors)
        if dependant.request_param_name:
            values[dependant.request_param_name] = request
        response: Response = await endpoint(**values)
        return response

    return call_endpoint


def _needs_more(dependant: Dependant, *supported: str) -> bool:
    names = {field.name for field in dataclasses.fields(dependant)} - _IGNORED_FIELDS - {*supported}
    return any(getattr(dependant, name) for name in names)


def _is_response(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Response)
