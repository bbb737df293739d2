"""The application for `tasks-backend dev`, the only one that accepts development tokens."""

import os
from pathlib import Path
from typing import ClassVar

from fastapi import FastAPI

from tasks_backend.app import create_app
from tasks_backend.dev import docs_page
from tasks_backend.dev.issuer import DATA_DIRECTORY, Issuer
from tasks_backend.settings import Settings, load


class DevelopmentSettings(Settings):
    """Settings from the environment that `dev` set."""

    takes_development_keys: ClassVar[bool] = True


def create() -> FastAPI:
    """Create the service for development."""
    settings = load(DevelopmentSettings)
    issuer = Issuer(Path(os.environ[DATA_DIRECTORY]))
    plugins = [docs_page.plugin(issuer)] if settings.docs_enabled else []
    return create_app(settings, plugins=plugins)
