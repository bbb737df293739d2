"""The fixtures, as a pytest plugin. PYTEST_DONT_REWRITE: tests import it before pytest does."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI
from psycopg2.extensions import parse_dsn

from tasks_backend.app import create_app
from tasks_backend.db import migrations
from tasks_backend.dev.postgres import embedded
from tasks_backend.plugin import Plugin
from tasks_backend.settings import Settings
from tasks_backend.testing import statements
from tasks_backend.testing.contract import Contract
from tasks_backend.testing.databases import NEON_OWNER, Cluster
from tasks_backend.testing.key_server import KeyServer, json_answer
from tasks_backend.testing.service import NewUser, User, served, users
from tasks_backend.testing.signing import AUDIENCE, ISSUER, Signer, key_set

SERVER = "TEST_DATABASE_URL"
"""A superuser's URL of a server to use in place of an embedded one."""


@pytest.fixture(scope="session")
def plugins() -> Sequence[Plugin]:
    """The plugins under test: override it."""
    return ()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL for this run only, or the server of TEST_DATABASE_URL."""
    if server := os.environ.get(SERVER):
        yield Cluster(server)
        return
    directory = Path(tempfile.mkdtemp(prefix="tasks-backend-tests-"))
    with embedded(directory / "postgres") as url:
        yield Cluster(url)
    shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def migrated(cluster: Cluster, plugins: Sequence[Plugin]) -> Iterator[str]:
    """Make a new, migrated database. Its owner has the attributes of Neon's, or is the login of
    TEST_DATABASE_URL.
    """
    own = os.environ.get(SERVER)
    owner = str(parse_dsn(own)["user"]) if own else cluster.login(NEON_OWNER)
    name, url = cluster.database(owner)
    migrations.upgrade(url, plugins)
    yield url
    if own:
        with cluster.cursor() as cursor:
            cursor.execute(statements.drop_database(name))


@pytest.fixture(scope="session")
def database(cluster: Cluster, plugins: Sequence[Plugin]) -> Iterator[str]:
    """The URL of a new, migrated database."""
    with migrated(cluster, plugins) as url:
        yield url


@pytest.fixture(scope="session")
def signer() -> Signer:
    """The key with which users' tokens are signed."""
    return Signer()


@pytest.fixture(scope="session")
def key_server(signer: Signer) -> Iterator[KeyServer]:
    """The endpoint with the key set, on loopback."""
    with KeyServer(json_answer(key_set(signer))) as server:
        yield server


@pytest.fixture(scope="session")
def settings(database: str, key_server: KeyServer) -> Settings:
    """Settings with the database and the key set."""
    return Settings(
        _env_file=None,
        database_url=database,
        jwt_issuer=ISSUER,
        jwt_audience=AUDIENCE,
        jwks_url=key_server.url,
        cors_origins=("https://app.example.com",),
    )


@pytest.fixture(scope="session")
def app(settings: Settings, plugins: Sequence[Plugin]) -> FastAPI:
    """The application. Override it to test an application that embeds the service."""
    return create_app(settings, plugins=plugins)


@pytest.fixture(scope="session")
def service(app: FastAPI) -> Iterator[str]:
    """The base URL of the served application."""
    with served(app) as url:
        yield url


@pytest.fixture
def new_user(service: str, signer: Signer) -> Iterator[NewUser]:
    """Makes new users, so that tests do not share rows."""
    with users(service, signer) as make:
        yield make


@pytest.fixture
def alice(new_user: NewUser) -> User:
    """A new user."""
    return new_user()


@pytest.fixture
def bob(new_user: NewUser) -> User:
    """Another new user."""
    return new_user()


@pytest.fixture
def anonymous(service: str) -> Iterator[httpx2.Client]:
    """A client without a token."""
    with httpx2.Client(base_url=service, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def contract(
    cluster: Cluster, settings: Settings, plugins: Sequence[Plugin], signer: Signer
) -> Iterator[Contract]:
    """Assertions about every route of the plugins under test; of the service without any. It has a
    database of its own, in which no job changes rows.
    """
    with migrated(cluster, plugins) as url:
        own = settings.model_copy(update={"database_url": url, "jobs_enabled": False})
        app = create_app(own, plugins=plugins)
        with served(app) as base:
            yield Contract(app, base, signer, cluster, plugins)
