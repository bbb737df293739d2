"""All checks, in order. None stops another, and each has an end: together under 30 seconds."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from fastapi import FastAPI

from tasks_backend.app import create_app
from tasks_backend.doctor import clocks, database, keys, token
from tasks_backend.doctor.clocks import Clocks
from tasks_backend.doctor.findings import Finding, broken, complete, ok, problem
from tasks_backend.doctor.keys import FETCH_TIMEOUT, Keys
from tasks_backend.plugin import PluginError
from tasks_backend.settings import DatabaseSettings, Settings, SettingsError, load

AREA_TIMEOUT = 13.0  # seconds

Known = TypeVar("Known")


def diagnose(candidate: str | None = None) -> list[Finding]:
    """Return what there is to say about the environment, and about a token if one is given."""
    found: list[Finding] = []
    settings, service = _service(found)
    found += asyncio.run(_examined(settings, service, candidate))
    areas = ["settings", "database", "keys", "clock"]
    return complete(found, areas if candidate is None else [*areas, "token"])


def _service(found: list[Finding]) -> tuple[DatabaseSettings | None, FastAPI | None]:
    """Return the settings, as far as they can be used, and the service that they make."""
    try:
        settings: Settings = load()
    except SettingsError as error:
        found += [problem("settings.values", f"{line}.") for line in str(error).splitlines()]
        return _database_settings(), None
    found.append(ok("settings.values", "All that is needed is set, and well-formed."))
    # A diagnosis asks for the keys a second time, and at once; nobody waits for it long.
    timeout = min(settings.jwks_timeout, FETCH_TIMEOUT)
    hasty = settings.model_copy(update={"jwks_cooldown": 0.0, "jwks_timeout": timeout})
    try:
        service = create_app(hasty)
    except PluginError as error:
        found.append(problem("settings.plugins", f"{error}: correct PLUGINS or the plugin."))
        return settings, create_app(hasty.model_copy(update={"plugins": ()}))
    enabled = ", ".join(settings.plugins) or "none"
    found.append(ok("settings.plugins", f"Enabled beside the tasks: {enabled}."))
    return settings, service


def _database_settings() -> DatabaseSettings | None:
    try:
        settings: DatabaseSettings = load(DatabaseSettings)
    except SettingsError:
        return None
    return settings


async def _examined(
    settings: DatabaseSettings | None, service: FastAPI | None, candidate: str | None
) -> list[Finding]:
    (of_database, database_ahead), (of_keys, known_keys) = await asyncio.gather(
        _bounded("database.reachable", _of_database(settings), None),
        _bounded("keys.endpoint", _of_keys(service), Keys()),
    )
    known = Clocks(known_keys.clock_ahead, database_ahead)
    found = [*of_database, *of_keys, *clocks.findings(known)]
    if service is not None and candidate is not None:
        of_token, _ = await _bounded(
            "token.verdict", _of_token(service, candidate, known_keys, known), None
        )
        found += of_token
    if service is not None:
        await service.state.key_set.close()
    return found


async def _of_database(settings: DatabaseSettings | None) -> tuple[list[Finding], float | None]:
    return ([], None) if settings is None else await database.examine(settings)


async def _of_keys(service: FastAPI | None) -> tuple[list[Finding], Keys]:
    if service is None:
        return [], Keys()
    return await keys.examine(service.state.settings, service.state.key_set)


async def _of_token(
    service: FastAPI, candidate: str, known_keys: Keys, known: Clocks
) -> tuple[list[Finding], None]:
    settings = service.state.settings
    return await token.examine(candidate, service.state.verifier, settings, known_keys, known), None


async def _bounded(
    check: str, work: Awaitable[tuple[list[Finding], Known]], otherwise: Known
) -> tuple[list[Finding], Known]:
    """Return what an area gives or, if it hangs or breaks, that it did and nothing known."""
    try:
        async with asyncio.timeout(AREA_TIMEOUT):
            return await work
    except Exception as error:  # noqa: BLE001 - one area that breaks must not take others with it
        return [broken(check, error)], otherwise
