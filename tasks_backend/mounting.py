"""Every part at its place, behind its gate. What could be reached past a gate stops the start."""

import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence

from starlette.routing import BaseRoute, Route

from tasks_backend import health
from tasks_backend.auth.gate import Bounds, closed_gate, open_gate
from tasks_backend.auth.tokens import TokenVerifier
from tasks_backend.http.resource import Resource, resources
from tasks_backend.plugin import Plugin, PluginError

_BESIDE_THE_API = re.compile(r"/(?!api(?:/|$))(?:[\w.~-]+(?:/.*)?)?", re.ASCII | re.IGNORECASE)
"""A path whose first segment is fixed, and is not `api`: it can match nothing below `/api`."""


def mounted(
    plugins: Sequence[Plugin], page: Sequence[Route], verifier: TokenVerifier, bounds: Bounds
) -> list[BaseRoute]:
    """Return the routes of the service, of its plugins and of its page, in the order of matching.

    A plugin's routes are closed unless it says out loud that it is public. Raises PluginError.
    """
    opened, closed = open_gate(bounds), closed_gate(verifier, bounds)
    operators = open_gate(bounds.without_limit())
    own = list(resources(health.router, operators, public=True))
    taken = dict.fromkeys([*_paths(own), *(route.path for route in page)], "the service")
    result: list[BaseRoute] = [*own]
    for plugin in plugins:
        try:
            if plugin.operations is not None:
                operations = list(resources(plugin.operations, operators, public=True))
                _check_operations(operations, taken)
                taken |= dict.fromkeys(_paths(operations), f"plugin {plugin.name!r}")
                result += operations
            gate = opened if plugin.public else closed
            for version, router in plugin.routers.items():
                prefix = f"/api/{version}/{plugin.name}"
                routes = list(resources(router, gate, prefix=prefix, public=plugin.public))
                _check_routes(routes, prefix)
                result += routes
        except Exception as error:
            raise PluginError(f"plugin {plugin.name!r}: {error}") from error
    return [*result, *page]


def _paths(mounted: Iterable[Resource]) -> Iterator[str]:
    """Return the paths with their convertors, such as `/files/{name:path}`."""
    return (resource.operations[0].path or "" for resource in mounted)


def _check_routes(routes: Iterable[Resource], prefix: str) -> None:
    """Raise ValueError for a route at somebody else's place."""
    for path in _paths(routes):
        if not f"{posixpath.normpath(path)}/".startswith(f"{prefix}/"):
            raise ValueError(f"a route at {path} is not below {prefix}/")


def _check_operations(operations: Iterable[Resource], taken: dict[str, str]) -> None:
    """Raise ValueError for an operation that is or could be below `/api`, or whose place is taken
    by what came before.
    """
    for path in _paths(operations):
        if not _BESIDE_THE_API.fullmatch(posixpath.normpath(path)):
            raise ValueError(
                f"an operation at {path} could be reached below /api/ without a token;"
                " the path of an operation begins with a fixed name, such as /metrics"
            )
        for other, owner in taken.items():
            if _overlap(path, other):
                raise ValueError(
                    f"an operation at {path} takes the place of {other}, which {owner} has"
                )


def _overlap(one: str, other: str) -> bool:
    """Return whether both patterns may match one address. In doubt, they may."""
    for first, second in zip(one.split("/"), other.split("/"), strict=False):
        if any("{" in segment and ":" in segment for segment in (first, second)):
            return True  # a convertor may take any number of segments
        if first != second and "{" not in first + second:
            return False
    return one.count("/") == other.count("/")
