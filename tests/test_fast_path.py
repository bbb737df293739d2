"""The fast path gives the same answers as FastAPI's, and is used wherever possible."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import APIRouter, BackgroundTasks, Body, Cookie, Depends, Header, Request, Response
from fastapi.routing import RouteContext, iter_route_contexts

from tasks_backend import Settings, create_app
from tasks_backend.http.fast_path import compile_endpoint
from tasks_backend.http.resource import Resource
from tasks_backend.testing.service import served
from tasks_backend.testing.signing import Signer

NOBODYS = "01234567-89ab-7def-8123-456789abcdef"


async def host(request: Request) -> str:
    return str(request.url.hostname)


async def nothing() -> None:
    """A dependency used for its effect, not for its value."""


async def generated() -> AsyncIterator[str]:
    yield "x"


async def nested(name: Annotated[str, Depends(host)]) -> str:
    return name


async def with_query(page: int = 1) -> int:
    return page


def threaded() -> str:
    return "x"


async def plain(number: int, request: Request, name: Annotated[str, Depends(host)]) -> Response:
    return Response(f"{number} {request.method} {name}")


def sync() -> Response:
    return Response()


async def model() -> dict[str, int]:
    return {}


async def untold():  # type: ignore[no-untyped-def] # that is the case
    return Response()


async def header(accept: Annotated[str, Header()]) -> Response:
    return Response(accept)


async def cookie(session: Annotated[str, Cookie()]) -> Response:
    return Response(session)


async def body(value: Annotated[int, Body()]) -> Response:
    return Response(str(value))


async def into(response: Response) -> Response:
    return response


async def later(tasks: BackgroundTasks) -> Response:
    return Response(background=tasks)


async def of_generated(value: Annotated[str, Depends(generated)]) -> Response:
    return Response(value)


async def of_nested(value: Annotated[str, Depends(nested)]) -> Response:
    return Response(value)


async def of_query(value: Annotated[int, Depends(with_query)]) -> Response:
    return Response(str(value))


async def of_threaded(value: Annotated[str, Depends(threaded)]) -> Response:
    return Response(value)


async def twice(
    one: Annotated[str, Depends(host)], other: Annotated[str, Depends(host)]
) -> Response:
    return Response(one + other)


def operation(endpoint: Callable[..., Any], path: str = "/") -> RouteContext:
    router = APIRouter(dependencies=[Depends(nothing)])
    router.add_api_route(path, endpoint)
    (only,) = iter_route_contexts(router.routes)
    return only


LEFT_TO_FASTAPI = [sync, model, untold, header, cookie, body, into, later]
LEFT_TO_FASTAPI += [of_generated, of_nested, of_query, of_threaded, twice]


@pytest.mark.parametrize("endpoint", LEFT_TO_FASTAPI, ids=lambda endpoint: endpoint.__name__)
def test_an_endpoint_with_other_parameters_is_left_to_fastapi(
    endpoint: Callable[..., Awaitable[Any]],
) -> None:
    assert compile_endpoint(operation(endpoint)) is None


def test_a_plain_endpoint_gets_its_parameters() -> None:
    answer = compile_endpoint(operation(plain, "/{number}"))
    assert answer is not None
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": "/7",
        "path_params": {"number": "7"},
    }
    scope |= {"query_string": b"", "headers": [(b"host", b"example.com")]}

    async def called() -> Response:
        return await answer(Request(scope))

    assert asyncio.run(called()).body == b"7 GET example.com"


def test_every_operation_of_the_service_uses_the_fast_path(settings: Settings) -> None:
    for resource in create_app(settings).routes:
        if isinstance(resource, Resource) and resource.path.startswith("/api/"):
            for one in resource.operations:
                assert compile_endpoint(one) is not None, one.name


@pytest.fixture(scope="module")
def both(settings: Settings) -> Iterator[tuple[str, str]]:
    """The service, and one without the fast path, as dependency overrides require it."""
    by_fastapi = create_app(settings)
    by_fastapi.dependency_overrides[threaded] = threaded
    with served(create_app(settings)) as short, served(by_fastapi) as long:
        yield short, long


@pytest.mark.parametrize(
    ("method", "path", "json"),
    [
        ("GET", "", None),
        ("GET", "?limit=0&order=up&nonsense=1&limit=2", None),
        ("GET", "?limit=7&limit=8", None),
        ("GET", "?cursor=nonsense", None),
        ("GET", "/nonsense", None),
        ("GET", f"/{NOBODYS}", None),
        ("POST", "", {"title": ""}),
        ("POST", "", None),
        ("PATCH", "/nonsense", {"title": "x"}),
        ("PATCH", "/nonsense", None),
        ("PUT", f"/{NOBODYS}", {"title": "x", "nonsense": 1}),
        ("PUT", "/nonsense", {}),
        ("POST", f"/{NOBODYS}/toggle", None),
        ("POST", "/nonsense/toggle", None),
        ("DELETE", f"/{NOBODYS}", None),
        ("DELETE", "/nonsense", None),
    ],
)
def test_both_paths_give_the_same_answer(
    both: tuple[str, str], signer: Signer, method: str, path: str, json: object
) -> None:
    headers = {"Authorization": f"Bearer {signer.token('both')}", "X-Request-Id": "same"}
    short, long = (
        httpx2.request(method, f"{base}/api/v1/tasks{path}", headers=headers, json=json, timeout=30)
        for base in both
    )
    assert short.status_code == long.status_code
    assert short.content == long.content
    for answer in (short, long):
        del answer.headers["date"]
    assert short.headers == long.headers
