"""Run all checks. They fail independently and have timeouts; in total under 30 seconds."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from fastapi import FastAPI

from tasks_backend.app import create_app
from tasks_backend.doctor import clocks, database, keys, token
from tasks_backend.doctor.clocks import Clocks
from tasks_backend.doctor.findings import Finding, add_skipped, check_failed, note, ok, problem
from tasks_backend.doctor.keys import FETCH_TIMEOUT, Keys
from tasks_backend.plugin import PluginError, PluginSettingsError, load_plugins
from tasks_backend.settings import DatabaseSettings, Settings, SettingsError, load

AREA_TIMEOUT = 13.0  # seconds

Result = TypeVar("Result")


def diagnose(candidate: str | None = None, ignored: Sequence[str] = ()) -> list[Finding]:
    """Return the findings on the environment, and on a token if one is given.

    `ignored` are the names of libpq's variables that were set.
    """
    findings = [_environment(ignored)]
    settings, service = _service(findings)
    findings += asyncio.run(_run_checks(settings, service, candidate))
    areas = ["settings", "database", "keys", "clock"]
    return add_skipped(findings, areas if candidate is None else [*areas, "token"])


def _service(findings: list[Finding]) -> tuple[DatabaseSettings | None, FastAPI | None]:
    """Return the settings that can be loaded, and the service if all can; append findings."""
    try:
        settings: Settings = load()
    except SettingsError as error:
        findings += [problem("settings.values", f"{line}.") for line in str(error).splitlines()]
        return _database_settings(), None
    findings.append(ok("settings.values", "All required settings are set and well-formed."))
    # Fetch the keys without the cooldown, and with a short timeout.
    timeout = min(settings.jwks_timeout, FETCH_TIMEOUT)
    adjusted = settings.model_copy(update={"jwks_cooldown": 0.0, "jwks_timeout": timeout})
    try:
        service = create_app(adjusted)
    except PluginError as error:
        advice = "" if isinstance(error, PluginSettingsError) else ": correct PLUGINS or the plugin"
        findings += [
            problem("settings.plugins", f"{line}{advice}.") for line in str(error).splitlines()
        ]
        return settings, create_app(adjusted.model_copy(update={"plugins": ()}))
    enabled = ", ".join(settings.plugins) or "none"
    message = f"Enabled plugins besides tasks: {enabled}."
    if variables := _plugin_variables(settings):
        message += f" Their settings are well-formed: {', '.join(variables)}."
    findings.append(ok("settings.plugins", message))
    return settings, service


def _plugin_variables(settings: Settings) -> list[str]:
    """Return the variables that the enabled plugins take."""
    return [
        f"{plugin.prefix}{name}".upper()
        for plugin in load_plugins(settings.plugins)
        if plugin.settings is not None
        for name in plugin.settings.model_fields
    ]


def _environment(ignored: Sequence[str]) -> Finding:
    check = "settings.environment"
    if not ignored:
        return ok(check, "No variable of libpq is set; DATABASE_URL alone says how to connect.")
    advice = "put what is needed into DATABASE_URL"
    return note(
        check, f"Ignored: {', '.join(ignored)}. If they are meant for the service, {advice}."
    )


def _database_settings() -> DatabaseSettings | None:
    try:
        settings: DatabaseSettings = load(DatabaseSettings)
    except SettingsError:
        return None
    return settings


async def _run_checks(
    settings: DatabaseSettings | None, service: FastAPI | None, candidate: str | None
) -> list[Finding]:
    (database_findings, database_ahead), (key_findings, known_keys) = await asyncio.gather(
        _bounded("database.reachable", _check_database(settings), None),
        _bounded("keys.endpoint", _check_keys(service), Keys()),
    )
    known_clocks = Clocks(known_keys.clock_ahead, database_ahead)
    findings = [*database_findings, *key_findings, *clocks.findings(known_clocks)]
    if service is not None and candidate is not None:
        token_findings, _ = await _bounded(
            "token.verdict", _check_token(service, candidate, known_keys, known_clocks), None
        )
        findings += token_findings
    elif candidate is not None:
        findings += token.without_settings(candidate)
    if service is not None:
        await service.state.key_set.close()
    return findings


async def _check_database(settings: DatabaseSettings | None) -> tuple[list[Finding], float | None]:
    return ([], None) if settings is None else await database.examine(settings)


async def _check_keys(service: FastAPI | None) -> tuple[list[Finding], Keys]:
    if service is None:
        return [], Keys()
    return await keys.examine(service.state.key_set)


async def _check_token(
    service: FastAPI, candidate: str, known_keys: Keys, known_clocks: Clocks
) -> tuple[list[Finding], None]:
    state = service.state
    findings = await token.examine(
        candidate, state.verifier, state.settings, known_keys, known_clocks
    )
    return findings, None


async def _bounded(
    check: str, work: Awaitable[tuple[list[Finding], Result]], default: Result
) -> tuple[list[Finding], Result]:
    """Return an area's result; on a timeout or an error, a finding and the default."""
    try:
        async with asyncio.timeout(AREA_TIMEOUT):
            return await work
    except Exception as error:  # noqa: BLE001 - an error in one area must not stop the others
        return [check_failed(check, error)], default
