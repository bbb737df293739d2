"""The application for `tasks-backend dev`, the only one that accepts development tokens."""

import logging
import os
from pathlib import Path

from fastapi import FastAPI
from uvicorn.config import STARTUP_FAILURE

from tasks_backend.app import build_app
from tasks_backend.db import migrations
from tasks_backend.dev import docs_page, sql_errors
from tasks_backend.dev.issuer import DATA_DIRECTORY, Issuer
from tasks_backend.dev.lifetime import end_in_time
from tasks_backend.dev.settings import DevelopmentSettings, load_settings
from tasks_backend.dev.verifier import DevelopmentVerifier
from tasks_backend.plugin import load_plugins
from tasks_backend.settings import SettingsError

logger = logging.getLogger("tasks_backend.dev")


def create() -> FastAPI:
    """Apply new migrations and return the service, in the process that serves."""
    end_in_time()
    sql_errors.enable()
    try:
        settings = load_settings(os.environ["DATABASE_URL"])
        _migrate(settings)
        return build(settings, Issuer(Path(os.environ[DATA_DIRECTORY])))
    except SettingsError as error:
        logger.error("the service does not start: %s", error)  # noqa: TRY400 - no traceback
        raise SystemExit(STARTUP_FAILURE) from None


def build(settings: DevelopmentSettings, issuer: Issuer) -> FastAPI:
    """Return the service, which also accepts the issuer's tokens."""
    plugins = [sql_errors.plugin]
    if settings.docs_enabled:
        plugins.append(docs_page.plugin(issuer))
    key = issuer.public_key()
    return build_app(
        settings, plugins, lambda verifier: DevelopmentVerifier(key, settings, verifier)
    )


def _migrate(settings: DevelopmentSettings) -> None:
    """Upgrade the schemas. If that fails, the service runs on the schemas as they were."""
    plugins = load_plugins(settings.plugins)
    try:
        migrations.upgrade(settings.database_url, plugins)
    except migrations.MigrationError as error:
        logger.error("a migration failed; the schema is as before: %s", error)  # noqa: TRY400 - no traceback
