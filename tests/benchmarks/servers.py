"""The measured servers: the service, its peers, and limits that do less work."""

import sys
from dataclasses import dataclass
from typing import Literal

from benchmarks.data import SERVICE
from benchmarks.operations import OPERATIONS

_UVICORN = (".venv/bin/python", "-m", "uvicorn", "--no-access-log", "--port", "{port}")
_SERVICE = (sys.executable, "-m", "tasks_backend", "serve", "--port", "{port}")


@dataclass(frozen=True)
class Server:
    """How a server is started: the directory of its files among the peers, and its command.

    pgbench is started for each burst, by its protocol. The target is the maximum ratio of the
    service's CPU to this server's: of the server for a peer, of the database for a limit.
    """

    name: str
    kind: Literal["service", "peer", "limit"]
    command: tuple[str, ...]
    source: str = ""
    operations: tuple[str, ...] = OPERATIONS
    variables: tuple[tuple[str, str], ...] = ()
    protocol: Literal["", "simple", "prepared"] = ""
    rate: int = 0
    """pgbench's fixed rate in requests per second; 0: as fast as possible."""
    target: str = ""
    promises: bool = False
    """Whether it keeps the service's promises: row-level security with the user's identity in each
    transaction, a JSON log line for each request, problem documents. Else it keeps none of them.
    """

    @property
    def schema(self) -> str:
        """The schema of the tables that its requests change."""
        if self.kind != "peer":
            return SERVICE
        return f"peer_{self.source}{'_promises' if self.promises else ''}"


SERVERS = (
    Server("tasks_backend, 1 worker", "service", _SERVICE, promises=True),
    Server(
        "tasks_backend, 1 worker, no request log",
        "service",
        _SERVICE,
        variables=(("LOG_LEVEL", "warning"),),
    ),
    Server("tasks_backend, 2 workers", "service", (*_SERVICE, "--workers", "2"), promises=True),
    Server(
        "Fastify, same promises",
        "peer",
        ("node", "server.mjs"),
        "fastify",
        variables=(("PROMISES", "1"),),
        target="0.75",
        promises=True,
    ),
    Server("Fastify, bare", "peer", ("node", "server.mjs"), "fastify", target="1.15, list 1"),
    Server(
        "Litestar, same promises",
        "peer",
        (*_UVICORN, "app:app"),
        "litestar",
        variables=(("PROMISES", "1"),),
        promises=True,
    ),
    Server("Litestar, bare", "peer", (*_UVICORN, "app:app"), "litestar", target="0.85"),
    Server(
        "tutorial: FastAPI, Session, bare",
        "peer",
        (*_UVICORN, "app:app"),
        source="tutorial",
        target="0.25",
    ),
    Server("hello of FastAPI", "limit", (*_UVICORN, "framework:app"), "hello", ("get",)),
    Server(
        "pgbench, the service's messages",
        "limit",
        (),
        "pgbench",
        OPERATIONS[:-1],
        protocol="simple",
        target="1.25",
    ),
    Server(
        "pgbench, the same at 1,000 a second",
        "limit",
        (),
        "pgbench",
        OPERATIONS[:-1],
        protocol="simple",
        rate=1000,
        target="1.25",
    ),
    Server(
        "pgbench, prepared, without identity",
        "limit",
        (),
        "pgbench",
        OPERATIONS[:-1],
        protocol="prepared",
    ),
    Server("hello of plain ASGI", "limit", (*_UVICORN, "asgi:app"), "hello", ("get",)),
)


def chosen(sources: str) -> list[Server]:
    """Return the service and the servers with these comma-separated names; `all` means all.
    Raises ValueError for an unknown name.
    """
    known = {server.source for server in SERVERS if server.source}
    names = known if sources == "all" else {name for name in sources.split(",") if name}
    if unknown := names - known:
        raise ValueError(f"no such peer: {', '.join(sorted(unknown))}; there are {sorted(known)}")
    return [server for server in SERVERS if server.source in {"", *names}]
