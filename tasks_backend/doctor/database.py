"""Check the database: server, connection, login and schema."""

import asyncio

from tasks_backend.db.causes import AUTHORITIES
from tasks_backend.db.failures import DatabaseFailure
from tasks_backend.doctor import schema
from tasks_backend.doctor.connecting import explain
from tasks_backend.doctor.findings import Finding, note, ok, printable, problem
from tasks_backend.doctor.postgresql import ConnectionInfo, Server, inspect
from tasks_backend.settings import DatabaseSettings

INSPECT_TIMEOUT = 6.0  # seconds, connecting included
VERSIONS = range(14, 18 + 1)


async def examine(settings: DatabaseSettings) -> tuple[list[Finding], float | None]:
    """Return the findings, and the seconds by which the server's clock is ahead of ours."""
    url = settings.database_url
    try:
        async with asyncio.timeout(INSPECT_TIMEOUT):
            server = await inspect(url)
    except TimeoutError:
        message = "It accepted the connection but does not answer: check the server and the pooler."
        return [problem("database.reachable", message)], None
    except DatabaseFailure as failure:
        message = f"It cannot be used: {explain(failure, 'DATABASE_URL', url)}."
        return [problem("database.reachable", message)], None
    info = server.connection
    findings = [_reachable(server), _tls(info), _pooling(info), _role(server)]
    findings += await asyncio.gather(*schema.checks(settings, server))
    return findings, server.clock_ahead


def _reachable(server: Server) -> Finding:
    check, info = "database.reachable", server.connection
    where = info.host if info.is_socket else f"{info.host}:{info.port}"
    message = (
        f"PostgreSQL {server.version} at {printable(where)}, database {printable(server.database)}:"
        f" connected in {_ms(info.connecting)}, a round trip takes {_ms(info.round_trip)}."
    )
    if server.version < VERSIONS[0]:
        return problem(check, f"{message} The service needs version {VERSIONS[0]} or newer.")
    if server.is_read_only:
        advice = "It is read-only, perhaps a replica: give the address of the primary."
        return problem(check, f"{message} {advice}")
    if server.version > VERSIONS[-1]:
        return note(check, f"{message} Versions newer than {VERSIONS[-1]} are not tested.")
    return ok(check, message)


def _tls(info: ConnectionInfo) -> Finding:
    check = "database.tls"
    if info.tls is not None and (info.is_bound or info.sslmode.startswith("verify-")):
        how = "channel binding" if info.is_bound else info.sslmode
        return ok(check, f"Encrypted ({info.tls}), and the server is verified ({how}).")
    if info.is_local:
        return ok(check, "The connection stays on this machine.")
    if info.tls is not None:
        return note(
            check,
            f"Encrypted ({info.tls}), but with sslmode={info.sslmode} any server is trusted:"
            f" use sslmode=verify-full&sslrootcert={AUTHORITIES}, or channel_binding=require.",
        )
    advice = "put sslmode=require or better into DATABASE_URL"
    if info.is_private:
        return note(check, f"Not encrypted. Outside your private network, {advice}.")
    return problem(check, f"Not encrypted: tasks cross the network in the clear; {advice}.")


def _pooling(info: ConnectionInfo) -> Finding:
    if info.is_pooled:
        return ok("database.pooling", "Pooled, or behind a proxy. The service supports both.")
    return ok("database.pooling", "Direct.")


def _role(server: Server) -> Finding:
    check, login = "database.role", server.login
    name = printable(login.name)
    if login.role is None and not server.has_schema:
        return note(check, f"The rights of the login {name} can be checked once the schema exists.")
    if login.role is None:
        reason = "which bypasses row-level security"
        return problem(check, f"The service refuses the login {name}, {reason}: {login.remedy}.")
    if login.role == "none":
        return ok(check, f"Row-level security applies to the login {name} itself.")
    message = f"The login {name} switches to {login.role}, to which row-level security applies."
    if login.is_superuser:
        advice = f"an ordinary login that is a member of {login.role} is enough for the service"
        return note(check, f"{message} It is a superuser, and {advice}.")
    return ok(check, message)


def _ms(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))} ms"
