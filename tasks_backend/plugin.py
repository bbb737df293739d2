"""What a plugin is, and how the ones that a setting names are found.

Installed is not enabled: only what `PLUGINS` names is loaded, from the entry-point group
`tasks_backend.plugins`, and one that cannot be used stops the start with a sentence that names it.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from importlib.metadata import entry_points

from fastapi import APIRouter, FastAPI

GROUP = "tasks_backend.plugins"


class PluginError(Exception):
    """A plugin cannot be used. The message is one sentence for the person who starts the service."""


@dataclass(frozen=True)
class Plugin:
    """A part of the API: its routes by version, mounted at `/api/<version>/<name>`.

    Every route is behind the token check, before a byte of its body is read, unless the plugin
    says `public=True`. `lifespan` is entered when the service starts and left when it stops.
    """

    name: str
    routers: Mapping[str, APIRouter]
    public: bool = False
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = field(default=None)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9-]*", self.name):
            raise PluginError(
                f"plugin {self.name!r}: a name is lower-case letters, digits and hyphens"
            )
        if not self.routers:
            raise PluginError(f"plugin {self.name!r}: it has no routers")
        for version, router in self.routers.items():
            if not isinstance(router, APIRouter):
                raise PluginError(
                    f"plugin {self.name!r}: what it has for {version} is no APIRouter"
                )
            if not re.fullmatch(r"v[1-9][0-9]*", version):
                raise PluginError(f"plugin {self.name!r}: {version!r} is no version such as 'v1'")


def named(names: Iterable[str]) -> list[Plugin]:
    """Return the installed plugins of these names, in their order. Raises PluginError."""
    installed = {point.name: point for point in entry_points(group=GROUP)}
    found = []
    for name in names:
        if name not in installed:
            known = ", ".join(sorted(installed)) or "none"
            raise PluginError(
                f"PLUGINS names {name!r}, which is not installed (installed: {known})"
            )
        try:
            plugin = installed[name].load()
        except Exception as error:
            raise PluginError(
                f"plugin {name!r} cannot be loaded: {type(error).__name__}: {error}"
            ) from error
        if not isinstance(plugin, Plugin):
            raise PluginError(f"plugin {name!r}: its entry point is no tasks_backend.Plugin")
        found.append(plugin)
    return found


def distinct(plugins: Iterable[Plugin]) -> tuple[Plugin, ...]:
    """Return the plugins, refusing a name that is given twice. Raises PluginError."""
    result = tuple(plugins)
    names = [plugin.name for plugin in result]
    for name in names:
        if names.count(name) > 1:
            raise PluginError(f"plugin {name!r} is given twice")
    return result
