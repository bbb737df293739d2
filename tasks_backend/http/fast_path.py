"""The short way to an endpoint that asks for little.

FastAPI looks, in every request, for all that an endpoint could ask for: that is a sixth of what a
request costs (decision 0013). What an endpoint does ask for is known at the start. If that is no
more than path and query parameters, the request, and asynchronous dependencies of the request
alone, it is called with just these. Every other endpoint is left to FastAPI.
"""

import dataclasses
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_params_to_args
from fastapi.exceptions import RequestValidationError
from fastapi.routing import RouteContext
from starlette.requests import Request
from starlette.responses import Response

_SAYS_NOTHING = {"name", "call", "path", "use_cache", "scope", "request_param_name"}


def compile_endpoint(operation: RouteContext) -> Callable[[Request], Awaitable[Response]] | None:
    """Return what answers a request as FastAPI would, or None if only FastAPI can.

    It raises RequestValidationError for parameters, and whatever a dependency raises before that.
    """
    asked: Dependant = operation.dependant
    endpoint: Any = asked.call
    calls: list[Any] = [each.call for each in asked.dependencies]
    if (
        not inspect.iscoroutinefunction(endpoint)
        or not _is_response(inspect.signature(endpoint).return_annotation)
        or _asks_for_more(asked, "path_params", "query_params", "dependencies")
        or any(_asks_for_more(each) for each in asked.dependencies)
        or not all(map(inspect.iscoroutinefunction, calls))
        or len(set(calls)) < len(calls)  # asked once, used twice
    ):
        return None

    async def answer(request: Request) -> Response:
        values: dict[str, Any] = {}
        for each, call in zip(asked.dependencies, calls, strict=True):
            of_request = each.request_param_name
            value = await call(**({of_request: request} if of_request else {}))
            if each.name:
                values[each.name] = value
        found, errors = request_params_to_args(asked.path_params, request.path_params)
        values |= found
        if asked.query_params:
            found, wrong = request_params_to_args(asked.query_params, request.query_params)
            values |= found
            errors += wrong
        if errors:
            raise RequestValidationError(errors)
        if asked.request_param_name:
            values[asked.request_param_name] = request
        response: Response = await endpoint(**values)
        return response

    return answer


def _asks_for_more(asked: Dependant, *known: str) -> bool:
    names = {each.name for each in dataclasses.fields(asked)} - _SAYS_NOTHING - {*known}
    return any(getattr(asked, name) for name in names)


def _is_response(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Response)
