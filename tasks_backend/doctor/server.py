"""What one connection tells: of the server, of the way to it, and of the login."""

import ipaddress
import time
from dataclasses import dataclass

from psycopg2.extensions import parse_dsn

from tasks_backend.db.connection import Connection
from tasks_backend.db.statements import ROLE_OF_LOGIN
from tasks_backend.doctor.connecting import opened
from tasks_backend.doctor.statements import SERVER


@dataclass(frozen=True)
class Login:
    """Who is connected, and what that login may do."""

    name: str
    is_superuser: bool
    is_member: bool
    """Whether it may switch to the role that row-level security binds."""
    role: str | None
    """The role that the service chooses for it, or None if the service refuses it."""


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
    began = time.perf_counter()
    async with opened(url) as connection:
        connected = time.perf_counter()
        ((version, database, login, pid, started_at, clock, read_only, *rights),) = (
            await connection.fetch(SERVER, {})
        )
        answered, now = time.perf_counter(), time.time()
        ((role,),) = await connection.fetch(ROLE_OF_LOGIN, {})
        round_trip = answered - connected
        is_superuser, is_member, has_schema = rights
        return Server(
            version=version,
            database=database,
            started_at=started_at,
            is_read_only=read_only,
            has_schema=has_schema,
            clock_ahead=clock - (now - round_trip / 2),
            login=Login(login, is_superuser, is_member, role),
            path=_path(connection, pid, connected - began, round_trip),
        )


def named_as_pooled(url: str) -> bool:
    """Whether the address says that it is a pooler's, as Neon's do; `migrate` refuses such ones."""
    return "-pooler." in parse_dsn(url).get("host", "")


def _path(connection: Connection, pid: int, connecting: float, round_trip: float) -> Path:
    info = connection._raw.info  # noqa: SLF001 - libpq alone knows whether its own end is encrypted
    given = info.dsn_parameters
    host = given.get("host", "").partition(",")[0]  # one name per address it has
    return Path(
        host=host,
        port=info.port,
        tls=info.ssl_attribute("protocol") if info.ssl_in_use else None,
        sslmode=given["sslmode"],
        is_bound=given.get("channel_binding") == "require",
        is_pooled=named_as_pooled(f"host={host}") or info.backend_pid != pid,
        connecting=connecting,
        round_trip=round_trip,
    )
