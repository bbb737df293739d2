"""Shared fixtures: a real, migrated PostgreSQL, a real key set, the running service, new users."""

import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from support.databases import NEON_OWNER, Cluster
from support.key_server import KeyServer, json_answer
from support.proxy import PostgresProxy
from support.service import User, at_rest, served
from support.signing import AUDIENCE, ISSUER, Signer, key_set

from tasks_backend import Settings, create_app
from tasks_backend.db import migrations
from tasks_backend.dev.postgres import embedded

pytest_plugins = ["support.traceability"]

NewUser = Callable[[], User]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all-restores", action="store_true", help="run the whole matrix of tests/test_restores.py"
    )


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """An embedded PostgreSQL for this run only."""
    directory = Path(tempfile.mkdtemp(prefix="tasks-backend-tests-"))
    with embedded(directory / "postgres") as url:
        yield Cluster(url)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def database(cluster: Cluster) -> str:
    """The URL of a migrated database whose owner has the attributes of Neon's."""
    _, url = cluster.database(cluster.login(NEON_OWNER))
    migrations.upgrade(url)
    return url


@pytest.fixture
def proxy(database: str) -> Iterator[PostgresProxy]:
    """A proxy to the database that counts messages and can fail."""
    with PostgresProxy(database) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def signer() -> Signer:
    return Signer()


@pytest.fixture(scope="session")
def key_server(signer: Signer) -> Iterator[KeyServer]:
    with KeyServer(json_answer(key_set(signer))) as server:
        yield server


@pytest.fixture(scope="session")
def settings(database: str, key_server: KeyServer) -> Settings:
    return Settings(
        _env_file=None,
        database_url=database,
        jwt_issuer=ISSUER,
        jwt_audience=AUDIENCE,
        jwks_url=key_server.url,
        cors_origins=("https://app.example.com",),
    )


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
def service(settings: Settings) -> Iterator[str]:
    """The base URL of the service. At the end it must have released all its resources."""
    app = create_app(settings)
    with served(app) as url:
        yield url
        at_rest(app)


@pytest.fixture
def new_user(service: str, signer: Signer) -> Iterator[NewUser]:
    """Makes new users, so that tests do not share rows."""
    clients: list[httpx2.Client] = []

    def make() -> User:
        sub = secrets.token_hex(16)
        headers = {"Authorization": f"Bearer {signer.token(sub)}"}
        clients.append(httpx2.Client(base_url=service, headers=headers, timeout=30))
        return User(sub, clients[-1])

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def alice(new_user: NewUser) -> User:
    return new_user()


@pytest.fixture
def bob(new_user: NewUser) -> User:
    return new_user()


@pytest.fixture
def anonymous(service: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=service, timeout=30) as client:
        yield client
