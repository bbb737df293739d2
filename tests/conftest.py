"""The kit's fixtures, and what only the project's own tests need."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from support.proxy import PostgresProxy
from support.service import at_rest

from tasks_backend import Settings

pytest_plugins = ["support.traceability", "tasks_backend.testing"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all-restores", action="store_true", help="run the whole matrix of tests/test_restores.py"
    )
    parser.addoption("--signatures", type=int, default=2_000, help="how many test_ed25519 compares")


@pytest.fixture
def proxy(database: str) -> Iterator[PostgresProxy]:
    """A proxy to the database that counts messages and can fail."""
    with PostgresProxy(database) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def environment(settings: Settings) -> dict[str, str]:
    """The same settings as environment variables, for the service as a separate process."""
    return {
        "DATABASE_URL": settings.database_url,
        "JWT_ISSUER": settings.issuer,
        "JWT_AUDIENCE": settings.audience,
        "JWKS_URL": settings.keys_url,
    }


@pytest.fixture(scope="session")
def service(app: FastAPI, service: str) -> Iterator[str]:
    """The base URL of the service. At the end it must have released all its resources."""
    yield service
    at_rest(app)
