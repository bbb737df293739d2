"""Check the schema, each check on its own connection so that they fail independently."""

import asyncio
from collections.abc import Awaitable, Iterable, Iterator

from tasks_backend.db import migrations
from tasks_backend.db.failures import DatabaseFailure
from tasks_backend.db.migration_session import shares_sessions
from tasks_backend.db.readiness import shortcomings
from tasks_backend.db.rights_statements import READY, missing_rights
from tasks_backend.db.statements import REVISIONS, ROLE, SCHEMA, STATEMENT_TIMEOUT, revision_of
from tasks_backend.doctor import row_level_security
from tasks_backend.doctor.connecting import explain, open_connection
from tasks_backend.doctor.findings import (
    SKIPPED,
    Finding,
    Outcome,
    check_failed,
    note,
    ok,
    printable,
    problem,
)
from tasks_backend.doctor.login import Login
from tasks_backend.doctor.postgresql import Server, inspect, is_pooler_url
from tasks_backend.doctor.statements import MAY_DUMP
from tasks_backend.plugin import PluginError, load_plugins
from tasks_backend.settings import DatabaseSettings
from tasks_backend.terminal import pluralise

CHECK_TIMEOUT = 6.0  # seconds, connecting included
STATEMENT_LIMIT = "3000"  # milliseconds

History = tuple[str, tuple[str, ...]]
"""A schema, and its revisions, oldest first."""


def checks(settings: DatabaseSettings, server: Server) -> Iterator[Awaitable[Finding]]:
    """Yield the checks that are possible; they may run concurrently."""
    url, login = settings.database_url, server.login
    if server.has_schema:
        isolation = _row_level_security(url, login)
        yield _bounded(row_level_security.CHECK, isolation, "DATABASE_URL", url, login)
    yield _bounded(
        "database.schema",
        _revision(url, server, _plugins_with_tables(settings)),
        "DATABASE_URL",
        url,
        login,
    )
    setting, url = _migration_setting(settings), settings.migration_url
    yield _bounded("database.migrations", _migrations(settings, server), setting, url, login)
    if server.has_schema:
        yield _bounded("database.dump", _dump(setting, url), setting, url, login)


async def _row_level_security(url: str, login: Login) -> Finding:
    """Check what the service's readiness does, then the isolation of two users."""
    check, role = row_level_security.CHECK, login.role or "none"
    remedy = row_level_security.REMEDY if login.role else login.remedy
    async with open_connection(url) as connection:
        isolation = await row_level_security.check_isolation(connection, role, remedy=remedy)
        if isolation.outcome is Outcome.PROBLEM:
            return isolation
        rows = await connection.fetch(READY, {ROLE: role, STATEMENT_TIMEOUT: STATEMENT_LIMIT})
    _, lacking = shortcomings(SCHEMA, REVISIONS, rows)
    return problem(check, f"It holds, but {lacking}.") if lacking else isolation


async def _revision(url: str, server: Server, plugins: Iterable[History]) -> Finding:
    check = "database.schema"
    if not server.has_schema:
        return problem(check, "The schema does not exist: run `tasks-backend migrate`.")
    revision = None
    async with open_connection(url) as connection:
        for schema, history in [*plugins, (SCHEMA, REVISIONS)]:
            try:
                message, values = revision_of(schema), {ROLE: server.login.role or "none"}
                rows = await connection.fetch(message, values)
            except DatabaseFailure as failure:
                if schema == SCHEMA:
                    raise
                return problem(check, f"It cannot be read: the schema {schema}: {failure}.")
            outdated, _ = shortcomings(schema, history, rows)
            if outdated:
                return problem(check, f"It is too old: {outdated}.")
            ((revision,),) = rows
        if revision not in REVISIONS:
            newest = f"later than {REVISIONS[-1]}, the newest that this version knows"
            return ok(check, f"At revision {printable(revision)}, {newest}: it can serve with it.")
        missing = await connection.fetch(missing_rights(SCHEMA), {})
    if missing:
        return problem(
            check,
            f"At revision {revision}, but {pluralise(len(missing), 'right')} or policies are missing"
            f" ({printable(missing[0][0])} ...): run `tasks-backend migrate`.",
        )
    return ok(check, f"At revision {revision}, as this version needs.")


def _plugins_with_tables(settings: DatabaseSettings) -> list[History]:
    """Return the schemas of plugins that have tables, each with its revisions.

    Empty if plugins cannot be loaded, which another check reports.
    """
    try:
        histories = migrations.migration_histories(load_plugins(settings.plugins))
    except PluginError:
        return []
    return [(plugin.schema, history) for plugin, history in histories]


async def _migrations(settings: DatabaseSettings, server: Server) -> Finding:
    check, setting = "database.migrations", _migration_setting(settings)
    if is_pooler_url(settings.migration_url) or await shares_sessions(settings.migration_url):
        if settings.database_url_unpooled:
            return problem(check, f"{setting} is a pooler's address: set the direct one.")
        return note(check, "Before migrating, set DATABASE_URL_UNPOOLED to the direct address.")
    if settings.migration_url == settings.database_url:
        return ok(check, "Migrations use DATABASE_URL, which keeps sessions.")
    direct = await inspect(settings.migration_url)
    if (direct.started_at, direct.database) != (server.started_at, server.database):
        return problem(
            check,
            f"{setting} leads to another server or database ({printable(direct.database)} at"
            f" {printable(direct.connection.host)}) than DATABASE_URL: correct one of them.",
        )
    return ok(check, f"Migrations use {setting}, which leads to the same database.")


async def _dump(setting: str, url: str) -> Finding:
    check = "database.dump"
    try:
        async with open_connection(url) as connection:
            ((login, may_dump),) = await connection.fetch(MAY_DUMP, {})
    except DatabaseFailure:
        return note(check, SKIPPED)
    if may_dump:
        return ok(
            check, f"pg_dump can read all rows with the login {printable(login)} ({setting})."
        )
    return note(
        check,
        f"pg_dump fails with the login {printable(login)} ({setting}), because row-level security"
        " applies to it: back up with another login (docs/operations.md, Backup and restore).",
    )


def _migration_setting(settings: DatabaseSettings) -> str:
    return "DATABASE_URL_UNPOOLED" if settings.database_url_unpooled else "DATABASE_URL"


async def _bounded(
    check: str, work: Awaitable[Finding], setting: str, url: str, login: Login
) -> Finding:
    """Return the check's finding, or a problem if it times out or raises an error."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT):
            return await work
    except DatabaseFailure as failure:
        return problem(check, f"It failed: {explain(failure, setting, url, login)}.")
    except Exception as error:  # noqa: BLE001 - an error in one check must not stop the others
        return check_failed(check, error)
