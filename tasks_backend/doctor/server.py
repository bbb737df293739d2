"""What one connection tells: of the server, of the way to it, and of the login."""

import ipaddress
import time
from dataclasses import dataclass

from psycopg2.extensions import parse_dsn

from tasks_backend.db.connection import Connection
from tasks_backend.db.statements import ROLE_OF_LOGIN
from tasks_backend.doctor.clocks import ahead
from tasks_backend.doctor.connecting import opened
from tasks_backend.doctor.login import Login
from tasks_backend.doctor.statements import SERVER

_POOLER = "-pooler."


@dataclass(frozen=True)
class Path:
    """The way to the server, as libpq sees it. Times are in seconds."""

    host: str
    port: int
    tls: str | None
    sslmode: str
    is_bound: bool
    """Whether the channel is bound to the password, which names the server as well."""
    is_pooled: bool
    connecting: float
    round_trip: float

    @property
    def is_socket(self) -> bool:
        """Whether it is a file rather than a network."""
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
        """Whether it stays within a network of one's own, going by the address or a bare name."""
        try:
            return ipaddress.ip_address(self.host).is_private
        except ValueError:
            return "." not in self.host


@dataclass(frozen=True)
class Server:
    """The server at the end of one address."""

    version: int
    database: str
    started_at: str
    is_read_only: bool
    has_schema: bool
    clock_ahead: float
    login: Login
    path: Path


async def look(url: str) -> Server:
    """Return what is to be seen at an address. Raises DatabaseFailure."""
    began = time.time()
    async with opened(url) as connection:
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
            clock_ahead=ahead(clock, clock, before=connected, after=answered),
            login=Login(login, is_superuser, app_role, role),
            path=_path(connection, pid, connected - began, answered - connected),
        )


def named_as_pooled(url: str) -> bool:
    """Whether the address says that it is a pooler's, as Neon's do; `migrate` refuses such ones."""
    return _POOLER in parse_dsn(url).get("host", "")


def _path(connection: Connection, pid: int, connecting: float, round_trip: float) -> Path:
    info = connection._raw.info  # noqa: SLF001 - libpq alone knows whether its own end is encrypted
    given = info.dsn_parameters
    return Path(
        host=info.host,
        port=info.port,
        tls=info.ssl_attribute("protocol") if info.ssl_in_use else None,
        sslmode=given["sslmode"],
        is_bound=given.get("channel_binding") == "require",
        is_pooled=_POOLER in info.host or info.backend_pid != pid,
        connecting=connecting,
        round_trip=round_trip,
    )
