"""Run the service for `tasks-backend dev`, with PostgreSQL and reload."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import tasks_backend
from tasks_backend.db import migrations
from tasks_backend.dev import demonstration, lifetime
from tasks_backend.dev.issuer import DATA_DIRECTORY, DAY, Issuer
from tasks_backend.dev.postgres import add_database, data_directory, embedded
from tasks_backend.dev.settings import load_settings, report
from tasks_backend.dev.welcome import USER, Place, welcome
from tasks_backend.plugin import Plugin, load_plugin_settings, load_plugins
from tasks_backend.serving import server
from tasks_backend.serving.addresses import require_free
from tasks_backend.terminal import progress


def run(
    *,
    port: int,
    directory: Path,
    seed: int | None = None,
    reload_dirs: list[Path] | None,
    with_parent: bool = False,
) -> None:
    """Serve on loopback until interrupted; the data stays in the directory.

    `seed` is the number of tasks to create for the demonstration user. With `reload_dirs`, the
    service restarts when a source of its own or in one of these changes; PostgreSQL keeps running.
    Raises DevelopmentError, PortTaken, SettingsError or MigrationError.
    """
    lifetime.exit_on_sigterm()
    if with_parent:
        lifetime.end_with_parent()
    require_free("127.0.0.1", port)
    with data_directory(directory) as data, ExitStack() as stack:
        with progress("Starting PostgreSQL"):
            url = stack.enter_context(embedded(data / "postgres"))
            auth_url = add_database(url, "better_auth")
            settings = load_settings(url)
            plugins = load_plugins(settings.plugins)
            load_plugin_settings(plugins)
            migrations.upgrade(url, plugins)
        if seed is not None:
            with progress(f"Creating {seed:,} tasks"):
                demonstration.seed(url, USER, seed)
        issuer = Issuer(data)
        issuer.make_key()
        place = Place(port, data, url, auth_url)
        welcome(place, issuer.token(USER, ttl=DAY), seed, report(settings))
        os.environ |= {"DATABASE_URL": url, DATA_DIRECTORY: str(data)}
        server.run(
            "tasks_backend.dev.app:create",
            host="127.0.0.1",
            port=port,
            log_level=settings.log_level,
            log_format=settings.log_format,
            shutdown_timeout=lifetime.SHUTDOWN_TIMEOUT,
            **({} if reload_dirs is None else _reload(plugins, reload_dirs)),
        )


def _reload(plugins: list[Plugin], directories: list[Path]) -> dict[str, Any]:
    """Return the options for a restart when a source or a migration changes."""
    package = Path(tasks_backend.__file__).parent
    histories = [package.parent / "migrations", *(plugin.migrations for plugin in plugins)]
    watched = [package, *directories, *(path for path in histories if path and path.is_dir())]
    return {"reload": True, "reload_dirs": [str(path) for path in watched]}
