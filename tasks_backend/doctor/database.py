"""The database as the service meets it: its server, the way there, the login and the schema."""

import asyncio

from tasks_backend.db.failures import DatabaseFailure
from tasks_backend.doctor import schema
from tasks_backend.doctor.connecting import explain
from tasks_backend.doctor.findings import Finding, note, ok, problem, shown
from tasks_backend.doctor.server import Path, Server, look
from tasks_backend.settings import DatabaseSettings

LOOK_TIMEOUT = 6.0  # seconds, connecting included
VERSIONS = range(14, 18 + 1)


async def examine(settings: DatabaseSettings) -> tuple[list[Finding], float | None]:
    """Return what was found, and by how many seconds the server's clock is ahead of ours."""
    url = settings.database_url
    try:
        async with asyncio.timeout(LOOK_TIMEOUT):
            server = await look(url)
    except TimeoutError:
        message = "It took the connection, and does not answer: look at the server and the pooler."
        return [problem("database.reachable", message)], None
    except DatabaseFailure as failure:
        message = f"It cannot be used: {explain(failure, 'DATABASE_URL', url)}."
        return [problem("database.reachable", message)], None
    found = [_reachable(server), _tls(server.path), _pooling(server.path), _role(server)]
    found += await asyncio.gather(*schema.checks(settings, server))
    return found, server.clock_ahead


def _reachable(server: Server) -> Finding:
    check, path = "database.reachable", server.path
    where = path.host if path.is_socket else f"{path.host}:{path.port}"
    message = (
        f"PostgreSQL {server.version} at {shown(where)}, database {shown(server.database)}:"
        f" connected in {_ms(path.connecting)}, a round trip takes {_ms(path.round_trip)}."
    )
    if server.version < VERSIONS[0]:
        return problem(check, f"{message} The service needs version {VERSIONS[0]} or newer.")
    if server.is_read_only:
        advice = "It is read-only, perhaps a replica: give the address of the primary."
        return problem(check, f"{message} {advice}")
    if server.version > VERSIONS[-1]:
        return note(check, f"{message} Newer than {VERSIONS[-1]} was never tried.")
    return ok(check, message)


def _tls(path: Path) -> Finding:
    check = "database.tls"
    if path.tls is not None and (path.is_bound or path.sslmode.startswith("verify-")):
        how = "channel binding" if path.is_bound else path.sslmode
        return ok(check, f"Encrypted ({path.tls}), and the server is verified ({how}).")
    if path.is_local:
        return ok(check, "It stays on this machine.")
    if path.tls is not None:
        return note(
            check,
            f"Encrypted ({path.tls}), but with sslmode={path.sslmode} any server is believed:"
            " sslmode=verify-full with sslrootcert, or channel_binding=require, does better.",
        )
    advice = "put sslmode=require or better into DATABASE_URL"
    if path.is_private:
        return note(check, f"Not encrypted, within a network of your own: else {advice}.")
    return problem(check, f"Not encrypted, so tasks cross the network in the clear: {advice}.")


def _pooling(path: Path) -> Finding:
    if path.is_pooled:
        return ok("database.pooling", "Pooled, or behind a proxy: the service is made for that.")
    return ok("database.pooling", "Direct.")


def _role(server: Server) -> Finding:
    check, login = "database.role", server.login
    name = shown(login.name)
    if login.role is None and not server.has_schema:
        return note(check, f"What the login {name} may do shows once the schema is there.")
    if login.role is None:
        reason = "which sees past row-level security"
        return problem(check, f"The service refuses the login {name}, {reason}: {login.remedy}.")
    if login.role == "none":
        return ok(check, f"The login {name} is bound by row-level security itself.")
    message = f"The login {name} switches to {login.role}, which row-level security binds."
    if login.is_superuser:
        advice = f"a plain login that is a member of {login.role} is enough for the service"
        return note(check, f"{message} It is a superuser, and {advice}.")
    return ok(check, message)


def _ms(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))} ms"
