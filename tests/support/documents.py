"""The OpenAPI document, without a running service."""

from pathlib import Path
from typing import Any

from tasks_backend import Plugin, Settings, create_app

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"
SETTINGS = Settings(
    _env_file=None,
    database_url="postgresql://nobody@localhost/nowhere",
    better_auth_url="https://auth.example.com",
)


def document(*plugins: Plugin) -> Any:
    """The document of the service, with these plugins."""
    return create_app(SETTINGS, plugins=plugins).openapi()
