"""The router of the service: it accepts no routes after its creation."""

from collections.abc import Iterable
from typing import Any, NoReturn

from fastapi import APIRouter, FastAPI
from starlette.routing import BaseRoute
from starlette.types import Lifespan

from tasks_backend.plugin import PluginError


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise PluginError(
        "the service takes no further routes, which would be served without a token check: give"
        " them to create_app in a Plugin, or mount the service in an application of your own"
    )


class _ReadOnlyList(list[BaseRoute]):
    """A list that rejects changes."""

    append = extend = insert = remove = pop = clear = sort = reverse = _refuse
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse


class Router(APIRouter):
    """A router whose routes are complete when it is made.

    A later route would be served without a token check, and would be missing in the document.
    Every way to add one raises PluginError.
    """

    def __init__(
        self, app: FastAPI, routes: Iterable[BaseRoute], lifespan: Lifespan[FastAPI]
    ) -> None:
        super().__init__(
            routes=list(routes),
            redirect_slashes=False,
            dependency_overrides_provider=app,
            lifespan=lifespan,
        )

    @property
    def routes(self) -> list[BaseRoute]:
        """All routes of the service, in the order in which they are matched."""
        return self._mounted

    @routes.setter
    def routes(self, routes: list[BaseRoute]) -> None:
        if hasattr(self, "_mounted"):
            _refuse()
        self._mounted = _ReadOnlyList(routes)

    frontend = _refuse  # FastAPI's only way to add a route outside `routes`

    def _contains_router(self, router: APIRouter, seen: set[int] | None = None) -> bool:  # noqa: ARG002 - FastAPI's signature
        """Refuse to be included: FastAPI asks this before it includes a router."""
        raise PluginError(
            "the service's router cannot be included, because its middleware would be missing:"
            " mount the service, app.mount(prefix, create_app())"
        )
