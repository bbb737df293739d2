"""The schema in the database: each check on a connection of its own, so that none stops another."""

import asyncio
from collections.abc import Awaitable, Iterator, Sequence

from tasks_backend.db import migrations
from tasks_backend.db.failures import DatabaseFailure, Failure
from tasks_backend.db.statements import REVISIONS, ROLE, SCHEMA, revision_of
from tasks_backend.doctor import row_level_security
from tasks_backend.doctor.connecting import explain, opened
from tasks_backend.doctor.findings import Finding, broken, note, ok, problem, shown
from tasks_backend.doctor.login import Login
from tasks_backend.doctor.server import Server, look, named_as_pooled
from tasks_backend.plugin import Plugin, PluginError, load_plugins
from tasks_backend.settings import DatabaseSettings

CHECK_TIMEOUT = 6.0  # seconds, connecting included


def checks(settings: DatabaseSettings, server: Server) -> Iterator[Awaitable[Finding]]:
    """Return the checks that can be made, all of which may go on at once."""
    url, login = settings.database_url, server.login
    if server.has_schema:
        proof = _row_level_security(url, login)
        yield _bounded(row_level_security.CHECK, proof, "DATABASE_URL", url, login)
    yield _bounded(
        "database.schema",
        _revision(url, server, _with_tables(settings)),
        "DATABASE_URL",
        url,
        login,
    )
    setting, url = _migration_setting(settings), settings.migration_url
    yield _bounded("database.migrations", _migrations(settings, server), setting, url, login)


async def _row_level_security(url: str, login: Login) -> Finding:
    remedy = row_level_security.REPAIR if login.role else login.remedy
    async with opened(url) as connection:
        return await row_level_security.proof(connection, login.role or "none", remedy=remedy)


async def _revision(url: str, server: Server, plugins: Sequence[tuple[Plugin, str]]) -> Finding:
    check = "database.schema"
    if not server.has_schema:
        return problem(check, "The schema is not there: run `tasks-backend migrate`.")
    role = {ROLE: server.login.role or "none"}
    async with opened(url) as connection:
        rows = await connection.fetch(revision_of(SCHEMA), role)
        found = rows[0][0] if rows else None
        if found != REVISIONS[-1]:
            return problem(
                check,
                f"At revision {shown(found or 'none')}, and this version needs"
                f" {REVISIONS[-1]}: run `tasks-backend migrate`, or install the version that"
                " the schema was migrated for.",
            )
        for plugin, needed in plugins:
            try:
                rows = await connection.fetch(revision_of(plugin.schema), role)
            except DatabaseFailure as failure:
                if failure.failure is not Failure.CONFIGURATION:
                    raise
                rows = []  # it is not there
            if [row[0] for row in rows] != [needed]:
                return problem(
                    check,
                    f"The tables of the plugin {plugin.name} are not at revision {needed}, which"
                    " it needs: run `tasks-backend migrate`.",
                )
    return ok(check, f"At revision {found}, as this version needs it.")


def _with_tables(settings: DatabaseSettings) -> list[tuple[Plugin, str]]:
    """Return the plugins that have tables, and the revisions that these need; none if they cannot
    be used, which is said elsewhere.
    """
    try:
        found = migrations.migration_histories(load_plugins(settings.plugins))
        return [(plugin, newest) for plugin, (*_, newest) in found]
    except PluginError:
        return []


async def _migrations(settings: DatabaseSettings, server: Server) -> Finding:
    check, setting = "database.migrations", _migration_setting(settings)
    if named_as_pooled(settings.migration_url):
        if settings.database_url_unpooled:
            return problem(check, f"{setting} is a pooler's address: give the direct one.")
        return note(check, "Before migrating, set DATABASE_URL_UNPOOLED to the direct address.")
    if settings.migration_url == settings.database_url:
        if server.path.is_pooled:
            return note(check, "If that is a pooler, set DATABASE_URL_UNPOOLED before migrating.")
        return ok(check, "They use DATABASE_URL, which is direct.")
    direct = await look(settings.migration_url)
    if (direct.started_at, direct.database) != (server.started_at, server.database):
        return problem(
            check,
            f"{setting} leads to another server or database ({shown(direct.database)} at"
            f" {shown(direct.path.host)}) than DATABASE_URL: correct one of them.",
        )
    return ok(check, f"They use {setting}, which leads to the same database.")


def _migration_setting(settings: DatabaseSettings) -> str:
    return "DATABASE_URL_UNPOOLED" if settings.database_url_unpooled else "DATABASE_URL"


async def _bounded(
    check: str, work: Awaitable[Finding], setting: str, url: str, login: Login
) -> Finding:
    """Return the finding, or what it comes to that the check hangs, fails or breaks."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT):
            return await work
    except DatabaseFailure as failure:
        return problem(check, f"It failed: {explain(failure, setting, url, login)}.")
    except Exception as error:  # noqa: BLE001 - a check that breaks must not take others with it
        return broken(check, error)
