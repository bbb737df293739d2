"""The routes of the service and its plugins. A route that could bypass its gate stops the start."""

import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence

from fastapi import APIRouter
from starlette.routing import BaseRoute, Route

from tasks_backend import health
from tasks_backend.auth.gate import Bounds, Verifier, closed_gate, open_gate
from tasks_backend.http.resource import Resource, resources
from tasks_backend.plugin import Plugin, PluginError

_OUTSIDE_API = re.compile(r"/(?!api(?:/|$))(?:[\w.~-]+(?:/.*)?)?", re.ASCII | re.IGNORECASE)
"""A path whose first segment is fixed and not `api`, so it cannot match a path below `/api`."""


def build_routes(
    plugins: Sequence[Plugin], page: Sequence[Route], verifier: Verifier, bounds: Bounds
) -> list[BaseRoute]:
    """Return the routes of the service, of its plugins and of its page, in the order of matching.

    A plugin's routes require a token unless the plugin is `public`. Raises PluginError.
    """
    public_gate, token_gate = open_gate(bounds), closed_gate(verifier, bounds)
    operator_gate = open_gate(bounds.without_limit())
    probes = list(resources(health.router, operator_gate, public=True))
    owners = dict.fromkeys([*_paths(probes), *(route.path for route in page)], "the service")
    below_api: dict[str, str] = {}
    result: list[BaseRoute] = [*probes]
    for plugin in plugins:
        try:
            if plugin.operations is not None:
                operations = list(resources(plugin.operations, operator_gate, public=True))
                _check_operations(operations, owners)
                owners |= dict.fromkeys(_paths(operations), f"plugin {plugin.name!r}")
                result += operations
            gate = public_gate if plugin.public else token_gate
            for prefix, router in _prefixes(plugin):
                routes = list(resources(router, gate, prefix=prefix, public=plugin.public))
                _check_routes(routes, prefix, below_api)
                below_api |= dict.fromkeys(_paths(routes), plugin.name)
                result += routes
        except Exception as error:
            raise PluginError(f"plugin {plugin.name!r}: {error}") from error
    return [*result, *page]


def _paths(routes: Iterable[Resource]) -> Iterator[str]:
    """Return the paths with their convertors, such as `/files/{name:path}`."""
    return (resource.operations[0].path or "" for resource in routes)


def _prefixes(plugin: Plugin) -> Iterator[tuple[str, APIRouter]]:
    """Yield where each of a plugin's routers is mounted."""
    for version, router in plugin.routers.items():
        yield f"/api/{version}/{plugin.name}", router
    for version, router in plugin.task_routers.items():
        yield f"/api/{version}/tasks/{{task_id}}/{plugin.name}", router


def _check_routes(routes: Iterable[Resource], prefix: str, others: dict[str, str]) -> None:
    """Raise ValueError for a route outside the prefix, or at an address of another plugin."""
    for path in _paths(routes):
        if not f"{posixpath.normpath(path)}/".startswith(f"{prefix}/"):
            raise ValueError(f"a route at {path} is not below {prefix}/")
        for other, owner in others.items():
            if _overlap(path, other):
                raise ValueError(f"a route at {path} takes the place of {other}, which {owner} has")


def _check_operations(operations: Iterable[Resource], owners: dict[str, str]) -> None:
    """Raise ValueError for an operation that may match a path below `/api`, or that overlaps an
    earlier route.
    """
    for path in _paths(operations):
        if not _OUTSIDE_API.fullmatch(posixpath.normpath(path)):
            raise ValueError(
                f"an operation at {path} could be reached below /api/ without a token;"
                " the path of an operation begins with a fixed name, such as /metrics"
            )
        for other, owner in owners.items():
            if _overlap(path, other):
                raise ValueError(
                    f"an operation at {path} takes the place of {other}, which {owner} has"
                )


def _overlap(one: str, other: str) -> bool:
    """Return whether one path may match both patterns; True if unsure."""
    for first, second in zip(one.split("/"), other.split("/"), strict=False):
        if any("{" in segment and ":" in segment for segment in (first, second)):
            return True  # a convertor may match any number of segments
        if first != second and "{" not in first + second:
            return False
    return one.count("/") == other.count("/")
