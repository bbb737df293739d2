"""What a plugin is, and how the ones that a setting names are found.

Installed is not enabled: only what `PLUGINS` names is loaded, from the entry-point group
`tasks_backend.plugins`, and one that cannot be used stops the start with a sentence that names it.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path

from fastapi import APIRouter, FastAPI
from starlette.middleware import Middleware

from tasks_backend.settings import SettingsError

GROUP = "tasks_backend.plugins"


class PluginError(SettingsError):
    """A plugin cannot be used. The message is one sentence for the person who starts the service."""


@dataclass(frozen=True)
class Plugin:
    """A part of the API: its routes by version, mounted at `/api/<version>/<name>`.

    Every route is behind the token check, before a byte of its body is read, unless the plugin
    says `public=True`. `lifespan` is entered when the service starts and left when it stops.
    """

    name: str
    routers: Mapping[str, APIRouter] = field(default_factory=dict)
    public: bool = False
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None
    migrations: Path | None = None
    """A directory of Alembic revisions, for tables in the plugin's own `schema`."""
    operations: APIRouter | None = None
    """Routes for operators, such as `/metrics`: at the root, without a version or a token."""
    middleware: Sequence[Middleware] = ()
    """ASGI middleware around the routes: it sees every request but what is refused as overload, and
    may ask `tasks_backend.observation.current()` what a request did.
    """

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,39}", self.name):
            raise PluginError(
                f"plugin {self.name!r}: a name is lower-case letters, digits and hyphens, 40 at most"
            )
        parts = (self.routers, self.operations, self.middleware, self.lifespan, self.migrations)
        if not any(parts):
            raise PluginError(f"plugin {self.name!r}: it has nothing to add")
        for version, router in self.routers.items():
            if not isinstance(router, APIRouter):
                raise PluginError(
                    f"plugin {self.name!r}: what it has for {version} is no APIRouter"
                )
            if not re.fullmatch(r"v[1-9][0-9]*", version):
                raise PluginError(f"plugin {self.name!r}: {version!r} is no version such as 'v1'")

    @property
    def schema(self) -> str:
        """The database schema of the plugin's tables."""
        return f"tasks_backend_{self.name.replace('-', '_')}"

    def error_message(self, what: str, error: BaseException) -> str:
        """Return the sentence that says what is wrong with this plugin, and why."""
        return f"plugin {self.name!r}: {what}: {_reason(error)}"


def load_plugins(names: Iterable[str]) -> list[Plugin]:
    """Return the installed plugins of these names, in their order. Raises PluginError."""
    points = entry_points(group=GROUP)
    installed = {point.name: point for point in points}
    found = []
    for name in names:
        if name not in installed:
            known = ", ".join(sorted(installed)) or "none"
            raise PluginError(
                f"PLUGINS names {name!r}, which is not installed (installed: {known})"
            )
        offered = {point.value for point in points if point.name == name}
        if len(offered) > 1:
            raise PluginError(f"plugin {name!r} is installed twice: {', '.join(sorted(offered))}")
        try:
            plugin = installed[name].load()
        except PluginError:
            raise
        except Exception as error:
            raise PluginError(f"plugin {name!r} cannot be loaded: {_reason(error)}") from error
        if not isinstance(plugin, Plugin):
            raise PluginError(f"plugin {name!r}: its entry point is no tasks_backend.Plugin")
        if plugin.name != name:
            raise PluginError(f"plugin {name!r}: its entry point is a plugin named {plugin.name!r}")
        found.append(plugin)
    return found


def ensure_unique_names(plugins: Iterable[Plugin]) -> tuple[Plugin, ...]:
    """Return the plugins, refusing a name that is given twice. Raises PluginError."""
    result = tuple(plugins)
    names = [plugin.name for plugin in result]
    for name in names:
        if names.count(name) > 1:
            raise PluginError(f"plugin {name!r} is given twice")
    return result


def _reason(error: BaseException) -> str:
    """Return what an error says, on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
