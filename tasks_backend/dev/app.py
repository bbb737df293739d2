"""The application as `tasks-backend dev` runs it: the only one that takes development tokens."""

from typing import ClassVar

from fastapi import FastAPI

from tasks_backend.app import create_app
from tasks_backend.settings import Settings, load


class DevelopmentSettings(Settings):
    """Settings from the environment that `dev` prepared."""

    takes_development_keys: ClassVar[bool] = True


def create() -> FastAPI:
    """Return the service for development."""
    return create_app(load(DevelopmentSettings))
