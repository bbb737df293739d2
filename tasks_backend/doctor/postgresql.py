"""Inspect a connection: the server, the network path and the login."""

import ipaddress
import time
from dataclasses import dataclass

from psycopg2.extensions import parse_dsn

from tasks_backend.auth.clock import clock_offset
from tasks_backend.db.connection import Connection
from tasks_backend.db.statements import ROLE_OF_LOGIN
from tasks_backend.doctor.connecting import open_connection
from tasks_backend.doctor.login import Login
from tasks_backend.doctor.statements import SERVER

_POOLER = "-pooler."


@dataclass(frozen=True)
class ConnectionInfo:
    """The connection to the server, as libpq sees it. Times are in seconds."""

    host: str
    port: int
    tls: str | None
    sslmode: str
    is_bound: bool
    """Whether channel binding is required, which also authenticates the server."""
    is_pooled: bool
    connecting: float
    round_trip: float

    @property
    def is_socket(self) -> bool:
        """Whether it is a Unix domain socket."""
        return not self.host or self.host.startswith(("/", "@"))

    @property
    def is_local(self) -> bool:
        """Whether it stays on this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.is_socket or self.host == "localhost"

    @property
    def is_private(self) -> bool:
        """Whether it stays in a private network, judged by the address or an undotted name."""
        try:
            return ipaddress.ip_address(self.host).is_private
        except ValueError:
            return "." not in self.host


@dataclass(frozen=True)
class Server:
    """The server that a URL leads to."""

    version: int
    database: str
    started_at: str
    is_read_only: bool
    has_schema: bool
    clock_ahead: float
    login: Login
    connection: ConnectionInfo


async def inspect(url: str) -> Server:
    """Connect to the URL and read the server's properties. Raises DatabaseFailure."""
    began = time.time()
    async with open_connection(url) as connection:
        connected = time.time()
        (
            (version, database, login, pid, started_at, clock, read_only, *rights),
        ) = await connection.fetch(SERVER, {})
        answered = time.time()
        ((role,),) = await connection.fetch(ROLE_OF_LOGIN, {})
        is_superuser, app_role, has_schema = rights
        return Server(
            version=version,
            database=database,
            started_at=started_at,
            is_read_only=read_only,
            has_schema=has_schema,
            clock_ahead=clock_offset(clock, clock, before=connected, after=answered),
            login=Login(login, is_superuser, app_role, role),
            connection=_connection_info(connection, pid, connected - began, answered - connected),
        )


def is_pooler_url(url: str) -> bool:
    """Whether the host name is a Neon pooler's; `migrate` refuses it."""
    return _POOLER in parse_dsn(url).get("host", "")


def _connection_info(
    connection: Connection, pid: int, connecting: float, round_trip: float
) -> ConnectionInfo:
    info = connection._raw.info  # noqa: SLF001 - only libpq knows whether its connection is encrypted
    parameters = info.dsn_parameters
    return ConnectionInfo(
        host=info.host,
        port=info.port,
        tls=info.ssl_attribute("protocol") if info.ssl_in_use else None,
        sslmode=parameters["sslmode"],
        is_bound=parameters.get("channel_binding") == "require",
        is_pooled=_POOLER in info.host or info.backend_pid != pid,
        connecting=connecting,
        round_trip=round_trip,
    )
