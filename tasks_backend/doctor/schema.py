"""Check the schema, each check on its own connection so that they fail independently."""

import asyncio
from collections.abc import Awaitable, Iterator, Sequence

from tasks_backend.db import migrations
from tasks_backend.db.failures import DatabaseFailure, Failure
from tasks_backend.db.statements import REVISIONS, ROLE, SCHEMA, revision_of
from tasks_backend.doctor import row_level_security
from tasks_backend.doctor.connecting import explain, open_connection
from tasks_backend.doctor.findings import Finding, check_failed, note, ok, printable, problem
from tasks_backend.doctor.login import Login
from tasks_backend.doctor.postgresql import Server, inspect, is_pooler_url
from tasks_backend.plugin import Plugin, PluginError, load_plugins
from tasks_backend.settings import DatabaseSettings

CHECK_TIMEOUT = 6.0  # seconds, connecting included


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


async def _row_level_security(url: str, login: Login) -> Finding:
    remedy = row_level_security.REMEDY if login.role else login.remedy
    async with open_connection(url) as connection:
        return await row_level_security.check_isolation(
            connection, login.role or "none", remedy=remedy
        )


async def _revision(url: str, server: Server, plugins: Sequence[tuple[Plugin, str]]) -> Finding:
    check = "database.schema"
    if not server.has_schema:
        return problem(check, "The schema does not exist: run `tasks-backend migrate`.")
    role = {ROLE: server.login.role or "none"}
    async with open_connection(url) as connection:
        rows = await connection.fetch(revision_of(SCHEMA), role)
        revision = rows[0][0] if rows else None
        if revision != REVISIONS[-1]:
            return problem(
                check,
                f"At revision {printable(revision or 'none')}, but this version needs"
                f" {REVISIONS[-1]}: run `tasks-backend migrate`, or install the version that"
                " the schema was migrated for.",
            )
        for plugin, needed in plugins:
            try:
                rows = await connection.fetch(revision_of(plugin.schema), role)
            except DatabaseFailure as failure:
                if failure.failure is not Failure.CONFIGURATION:
                    raise
                rows = []  # the schema does not exist
            if [row[0] for row in rows] != [needed]:
                return problem(
                    check,
                    f"The tables of the plugin {plugin.name} are not at revision {needed}, which"
                    " it needs: run `tasks-backend migrate`.",
                )
    return ok(check, f"At revision {revision}, as this version needs.")


def _plugins_with_tables(settings: DatabaseSettings) -> list[tuple[Plugin, str]]:
    """Return the plugins that have tables, each with the revision it needs.

    Empty if plugins cannot be loaded, which another check reports.
    """
    try:
        histories = migrations.migration_histories(load_plugins(settings.plugins))
        return [(plugin, newest) for plugin, (*_, newest) in histories]
    except PluginError:
        return []


async def _migrations(settings: DatabaseSettings, server: Server) -> Finding:
    check, setting = "database.migrations", _migration_setting(settings)
    if is_pooler_url(settings.migration_url):
        if settings.database_url_unpooled:
            return problem(check, f"{setting} is a pooler's address: set the direct one.")
        return note(check, "Before migrating, set DATABASE_URL_UNPOOLED to the direct address.")
    if settings.migration_url == settings.database_url:
        if server.connection.is_pooled:
            return note(check, "If that is a pooler, set DATABASE_URL_UNPOOLED before migrating.")
        return ok(check, "Migrations use DATABASE_URL, which is direct.")
    direct = await inspect(settings.migration_url)
    if (direct.started_at, direct.database) != (server.started_at, server.database):
        return problem(
            check,
            f"{setting} leads to another server or database ({printable(direct.database)} at"
            f" {printable(direct.connection.host)}) than DATABASE_URL: correct one of them.",
        )
    return ok(check, f"Migrations use {setting}, which leads to the same database.")


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
