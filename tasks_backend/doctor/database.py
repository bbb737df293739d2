"""The database as the service meets it: is it there, is it private, is it the right one?"""

import asyncio
from collections.abc import Awaitable

from tasks_backend.db import migrations
from tasks_backend.db.failures import DatabaseFailure, Failure
from tasks_backend.db.statements import APP_ROLE, REVISION
from tasks_backend.doctor import row_level_security
from tasks_backend.doctor.connecting import opened, why_not
from tasks_backend.doctor.findings import Finding, note, ok, problem, shown, within
from tasks_backend.doctor.server import Login, Path, Server, look, named_as_pooled
from tasks_backend.settings import DatabaseSettings

CHECK_TIMEOUT = 6.0  # seconds, connecting included
VERSIONS = range(14, 18 + 1)
_MIGRATE = "run `tasks-backend migrate`"


async def examine(settings: DatabaseSettings) -> tuple[list[Finding], float | None]:
    """Return what was found, and by how many seconds the server's clock is ahead of ours."""
    url = settings.database_url
    try:
        async with asyncio.timeout(CHECK_TIMEOUT):
            server = await look(url)
    except TimeoutError:
        return [problem("database.reachable", _too_slow("DATABASE_URL"))], None
    except DatabaseFailure as failure:
        message = f"It cannot be used: {why_not(failure, url, 'DATABASE_URL')}."
        return [problem("database.reachable", message)], None
    found = [_reachable(server), _tls(server.path), _pooling(server.path), _role(server)]
    later = []
    if server.has_schema:
        later.append(_row_level_security(url, server.login))
    later += [_schema(url, server), _migrations(settings, server)]
    return [*found, *await asyncio.gather(*later)], server.clock_ahead


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
        return problem(check, f"The service refuses the login {name}. {_remedy(login)}")
    if login.role == "none":
        return ok(check, f"The login {name} is bound by row-level security itself.")
    message = f"The login {name} switches to {login.role}, which row-level security binds."
    if login.is_superuser:
        advice = f"a login that is only a member of {APP_ROLE} is enough for the service"
        return note(check, f"{message} It is a superuser: {advice}.")
    return ok(check, message)


async def _row_level_security(url: str, login: Login) -> Finding:
    async def proof() -> Finding:
        async with opened(url) as connection:
            role = login.role or "none"
            return await row_level_security.proof(connection, role, remedy=_remedy(login))

    return await _bounded(row_level_security.CHECK, proof(), url)


async def _schema(url: str, server: Server) -> Finding:
    check = "database.schema"
    if not server.has_schema:
        return problem(check, f"The schema is not there: {_MIGRATE}.")

    async def comparison() -> Finding:
        async with opened(url) as connection:
            rows = await connection.fetch(REVISION, {"role": server.login.role or "none"})
        wanted, found = migrations.head(), rows[0][0] if rows else None
        if found == wanted:
            return ok(check, f"At revision {found}, as this version needs it.")
        return problem(
            check,
            f"At revision {shown(found or 'none')}, and this version needs {wanted}: {_MIGRATE},"
            " or install the version that the schema was migrated for.",
        )

    return await _bounded(check, comparison(), url)


async def _migrations(settings: DatabaseSettings, server: Server) -> Finding:
    check, url = "database.migrations", settings.migration_url
    setting = "DATABASE_URL_UNPOOLED" if settings.database_url_unpooled else "DATABASE_URL"
    if named_as_pooled(url):
        if settings.database_url_unpooled:
            return problem(check, f"{setting} is a pooler's address: give the direct one.")
        return note(check, "Before migrating, set DATABASE_URL_UNPOOLED to the direct address.")
    if url == settings.database_url:
        if server.path.is_pooled:
            return note(check, "If that is a pooler, set DATABASE_URL_UNPOOLED before migrating.")
        return ok(check, "They use DATABASE_URL, which is direct.")

    async def comparison() -> Finding:
        direct = await look(url)
        if (direct.started_at, direct.database) != (server.started_at, server.database):
            return problem(
                check,
                f"{setting} leads to another server or database ({shown(direct.database)} at"
                f" {shown(direct.path.host)}) than DATABASE_URL: correct one of them.",
            )
        return ok(check, f"They use {setting}, which leads to the same database.")

    return await _bounded(check, comparison(), url, setting)


async def _bounded(
    check: str, work: Awaitable[Finding], url: str, setting: str = "DATABASE_URL"
) -> Finding:
    async def explained() -> Finding:
        try:
            return await work
        except DatabaseFailure as failure:
            advice = f"; {_MIGRATE}" if failure.failure is Failure.CONFIGURATION else ""
            return problem(check, f"It failed: {why_not(failure, url, setting)}{advice}.")

    return await within(CHECK_TIMEOUT, check, explained())


def _remedy(login: Login) -> str:
    """Return what makes row-level security hold for a login."""
    if login.role is not None:
        return f"The policies are not as the migrations made them: {_MIGRATE} on a new database"
    if login.is_member:
        return f"It sees past row-level security: log in as the owner of the schema, or {_MIGRATE}."
    return (
        "It sees past row-level security. As an administrator:"
        f' GRANT {APP_ROLE} TO "{shown(login.name)}"'
    )


def _too_slow(setting: str) -> str:
    return f"No answer within {CHECK_TIMEOUT:g} s: check {setting} and the server."


def _ms(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))} ms"
