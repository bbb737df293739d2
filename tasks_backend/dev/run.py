"""Run the service for `tasks-backend dev`, with PostgreSQL, keys and reload."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import tasks_backend
from tasks_backend.db import migrations
from tasks_backend.dev import demonstration
from tasks_backend.dev.issuer import DATA_DIRECTORY, DAY, KEYS_PATH, ORIGIN, Issuer
from tasks_backend.dev.postgres import data_directory, embedded
from tasks_backend.dev.welcome import USER, welcome
from tasks_backend.plugin import load_plugins
from tasks_backend.serving import server
from tasks_backend.settings import DatabaseSettings, load
from tasks_backend.terminal import progress


def run(
    *, port: int, directory: Path, seed: int | None = None, reload_dirs: list[Path] | None
) -> None:
    """Serve on loopback until interrupted; the data stays in the directory.

    `seed` is the number of tasks to create for the demonstration user. With `reload_dirs`, the
    service restarts when a source of its own or in one of these changes; PostgreSQL and the key
    server keep running. Raises DevelopmentError, PortTaken or MigrationError.
    """
    server.require_free("127.0.0.1", port)
    with data_directory(directory) as data, ExitStack() as stack:
        with progress("Starting PostgreSQL"):
            url = stack.enter_context(embedded(data / "postgres"))
            settings: DatabaseSettings = load(DatabaseSettings, database_url=url)
            migrations.upgrade(url, load_plugins(settings.plugins))
        if seed is not None:
            with progress(f"Creating {seed:,} tasks"):
                demonstration.seed(url, USER, seed)
        issuer = Issuer(data)
        issuer.make_key()
        key_server = issuer.serve()
        os.environ |= {
            "DATABASE_URL": url,
            "JWT_ISSUER": ORIGIN,
            "JWT_AUDIENCE": ORIGIN,
            DATA_DIRECTORY: str(data),
            "JWKS_URL": f"http://127.0.0.1:{key_server.server_port}{KEYS_PATH}",
        }
        welcome(port, directory, url, issuer.token(USER, ttl=DAY), seed)
        reload: dict[str, Any] = {"reload": False}
        if reload_dirs is not None:
            package = Path(tasks_backend.__file__).parent
            directories = [str(path) for path in (package, *reload_dirs)]
            reload = {"reload": True, "reload_dirs": directories}
        try:
            server.run(
                "tasks_backend.dev.app:create",
                host="127.0.0.1",
                port=port,
                log_level="info",
                **reload,
            )
        finally:
            key_server.shutdown()
