"""What is measured: the service, its peers, and limits that do less."""

import sys
from dataclasses import dataclass
from typing import Literal

from benchmarks.data import SERVICE
from benchmarks.operations import OPERATIONS

_UVICORN = (".venv/bin/python", "-m", "uvicorn", "--no-access-log", "--port", "{port}")
_GUNICORN = (
    *(".venv/bin/python", "-m", "gunicorn", "--threads", "16", "--bind", "127.0.0.1:{port}"),
    "--no-control-socket",
)
_SERVICE = (sys.executable, "-m", "tasks_backend", "serve", "--port", "{port}")


@dataclass(frozen=True)
class Server:
    """How one is started: where its files are among the peers, and its command.

    pgbench has none: it is started for each burst.
    """

    name: str
    kind: Literal["service", "peer", "limit"]
    command: tuple[str, ...]
    source: str = ""
    operations: tuple[str, ...] = OPERATIONS
    variables: tuple[tuple[str, str], ...] = ()

    @property
    def schema(self) -> str:
        """Where the tables are that its requests change."""
        return f"peer_{self.source}" if self.kind == "peer" else SERVICE


SERVERS = (
    Server("tasks_backend, 1 worker", "service", _SERVICE),
    Server(
        *("tasks_backend, 1 worker, no request log", "service", _SERVICE),
        variables=(("LOG_LEVEL", "warning"),),
    ),
    Server("tasks_backend, 2 workers", "service", (*_SERVICE, "--workers", "2")),
    Server("Fastify, postgres.js, jose", "peer", ("node", "server.mjs"), "fastify"),
    Server("Express, Knex, jose", "peer", ("node", "server.mjs"), "express"),
    Server("Litestar, asyncpg, PyJWT", "peer", (*_UVICORN, "app:app"), "litestar"),
    Server("Django, ninja, PyJWT", "peer", (*_GUNICORN, "app:app"), "django"),
    Server(
        "tutorial: FastAPI, Session, psycopg2, PyJWT", "peer", (*_UVICORN, "app:app"), "tutorial"
    ),
    Server("hello of FastAPI", "limit", (*_UVICORN, "framework:app"), "hello", ("get",)),
    Server("pgbench, the service's messages", "limit", (), "pgbench", OPERATIONS[:-1]),
    Server("hello of plain ASGI", "limit", (*_UVICORN, "asgi:app"), "hello", ("get",)),
)


def chosen(sources: str) -> list[Server]:
    """Return the service and those whose sources are named, separated by commas; `all` is all.

    Raises ValueError if one does not exist.
    """
    known = {server.source for server in SERVERS if server.source}
    names = known if sources == "all" else {name for name in sources.split(",") if name}
    if unknown := names - known:
        raise ValueError(f"no such peer: {', '.join(sorted(unknown))}; there are {sorted(known)}")
    return [server for server in SERVERS if server.source in {"", *names}]
