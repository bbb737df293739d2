"""The plugin type, and how plugins are loaded.

An installed plugin is loaded only if `PLUGINS` names it, from the entry-point group
`tasks_backend.plugins`. If it cannot be used, the start fails with an error that names it.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.metadata import entry_points
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.middleware import Middleware

from tasks_backend.settings import Settings, SettingsError, load
from tasks_backend.settings.of_plugin import PluginSettings

GROUP = "tasks_backend.plugins"

_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
_NAME_RULE = "a name is lower-case letters, digits and hyphens, 40 at most"


class PluginError(SettingsError):
    """A plugin cannot be used. The message is one sentence for the operator."""


class PluginSettingsError(PluginError):
    """Settings of plugins are wrong: one line for each variable, without its value."""


@dataclass(frozen=True)
class Job:
    """Something that a plugin does periodically: once per deployment, whatever its processes.

    `run` gets a `JobContext`. It is an asynchronous function and must not block the event loop. It is
    cancelled after `timeout` and when the service stops. If its process dies, its lease ends 5 s after
    `timeout`, and a process that runs then runs the job again within 5 s more, whatever `every` is.
    So every effect happens at least once, not exactly once.
    """

    name: str
    every: timedelta
    """From the start of a run to the start of the next, at least a second. Each process asks the
    database as often, and again when the lease of a run ends, which wakes a database that sleeps."""
    run: Callable[[Any], Awaitable[None]]
    timeout: timedelta = timedelta(minutes=1)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise PluginError(f"job {self.name!r}: {_NAME_RULE}")
        if self.every < timedelta(seconds=1) or self.timeout < timedelta(seconds=1):
            raise PluginError(f"job {self.name!r}: `every` and `timeout` are a second or more")
        if not iscoroutinefunction(self.run):
            raise PluginError(f"job {self.name!r}: its `run` is no asynchronous function")


@dataclass(frozen=True)
class Plugin:
    """A part of the API: its routes by version, mounted at `/api/<version>/<name>`.

    Every route requires a token, which is checked before the body is read, unless `public` is
    True. `lifespan` is entered when the service starts and exited when it stops.
    """

    name: str
    routers: Mapping[str, APIRouter] = field(default_factory=dict)
    public: bool = False
    task_routers: Mapping[str, APIRouter] = field(default_factory=dict)
    """Routes below a task by version, mounted at `/api/<version>/tasks/{task_id}/<name>`. They take
    the task's id as `task_id`; whose task it is, `tasks_backend.resources.require_task` says."""
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None
    migrations: Path | None = None
    """A directory of Alembic revisions, for tables in the plugin's own `schema`."""
    operations: APIRouter | None = None
    """Routes for operators, such as `/metrics`: at the root, without a version or a token."""
    middleware: Sequence[Middleware] = ()
    """ASGI middleware around the routes: it sees every request that the server does not refuse for
    overload. `tasks_backend.http.request_record.get_record()` returns what a request did.
    """
    jobs: Sequence[Job] = ()
    """What the plugin does periodically, once per deployment."""
    settings: type[PluginSettings] | None = None
    """What the plugin takes from the environment and `.env`."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise PluginError(f"plugin {self.name!r}: {_NAME_RULE}")
        parts = (
            self.routers,
            self.task_routers,
            self.operations,
            self.middleware,
            self.lifespan,
            self.migrations,
            self.jobs,
            self.settings,
        )
        if not any(parts):
            raise PluginError(f"plugin {self.name!r}: it has nothing to add")
        if self.public and self.task_routers:
            raise PluginError(f"plugin {self.name!r}: routes below a task are never public")
        for version, router in [*self.routers.items(), *self.task_routers.items()]:
            if not isinstance(router, APIRouter):
                raise PluginError(
                    f"plugin {self.name!r}: what it has for {version} is no APIRouter"
                )
            if not re.fullmatch(r"v[1-9][0-9]*", version):
                raise PluginError(f"plugin {self.name!r}: {version!r} is no version such as 'v1'")
        names = [job.name for job in self.jobs]
        for name in names:
            if names.count(name) > 1:
                raise PluginError(f"plugin {self.name!r}: two of its jobs are named {name!r}")

    @property
    def schema(self) -> str:
        """The database schema of the plugin's tables."""
        return f"tasks_backend_{self.name.replace('-', '_')}"

    @property
    def prefix(self) -> str:
        """How the variables of the plugin's settings begin."""
        return f"{self.name.replace('-', '_')}_".upper()

    def error_message(self, what: str, error: BaseException) -> str:
        """Return a sentence with the plugin, the problem and the reason."""
        return f"plugin {self.name!r}: {what}: {_reason(error)}"


def load_plugins(names: Iterable[str]) -> list[Plugin]:
    """Return the installed plugins with these names, in this order. Raises PluginError."""
    points = entry_points(group=GROUP)
    installed = {point.name: point for point in points}
    plugins = []
    for name in names:
        if name not in installed:
            names_installed = ", ".join(sorted(installed)) or "none"
            raise PluginError(
                f"PLUGINS names {name!r}, which is not installed (installed: {names_installed})"
            )
        targets = {point.value for point in points if point.name == name}
        if len(targets) > 1:
            raise PluginError(f"plugin {name!r} is installed twice: {', '.join(sorted(targets))}")
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
        plugins.append(plugin)
    return plugins


def ensure_unique_names(plugins: Iterable[Plugin]) -> tuple[Plugin, ...]:
    """Return the plugins. Raises PluginError if two have the same name."""
    result = tuple(plugins)
    names = [plugin.name for plugin in result]
    for name in names:
        if names.count(name) > 1:
            raise PluginError(f"plugin {name!r} is given twice")
    return result


def load_plugin_settings(
    plugins: Iterable[Plugin],
) -> dict[type[PluginSettings], PluginSettings]:
    """Return the settings of the plugins by their class.

    Raises PluginError for a variable that has another meaning already, and PluginSettingsError.
    """
    users = dict.fromkeys(map(str.upper, Settings.model_fields), "the service")
    found: dict[type[PluginSettings], PluginSettings] = {}
    wrong = []
    for plugin in plugins:
        if plugin.settings is None:
            continue
        for name in plugin.settings.model_fields:
            variable = f"{plugin.prefix}{name}".upper()
            if variable in users:
                raise PluginError(
                    f"plugin {plugin.name!r}: its setting {variable} is a setting of"
                    f" {users[variable]}"
                )
            users[variable] = f"the plugin {plugin.name!r}"
        try:
            found[plugin.settings] = load(plugin.settings, _env_prefix=plugin.prefix)
        except SettingsError as error:
            wrong += [f"plugin {plugin.name!r}: {line}" for line in str(error).splitlines()]
    if wrong:
        raise PluginSettingsError("\n".join(wrong))
    return found


def _reason(error: BaseException) -> str:
    """Return an error's type and message on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
