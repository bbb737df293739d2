"""Every title is stored unchanged, or the database is rejected with an error message."""

import secrets
from pathlib import Path

import httpx2
import psycopg2
import pytest
from psycopg2.extensions import make_dsn
from support.commands import invoked

from tasks_backend import Settings, create_app
from tasks_backend.db import migration_session, migrations
from tasks_backend.testing.databases import NEON_OWNER, Cluster
from tasks_backend.testing.service import User, problem, served
from tasks_backend.testing.signing import AUDIENCE, ISSUER, Signer

TASKS = "/api/v1/tasks"
TITLE = "Käse für Zoë, 牛奶, 🥛 und Łódź"


@pytest.fixture
def old_migrations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Migrate like an older release, which did not check the encoding."""
    monkeypatch.setattr(migration_session, "_connect", psycopg2.connect)


def database_in(cluster: Cluster, encoding: str) -> str:
    name = f"db_{secrets.token_hex(6)}"
    login = cluster.login(NEON_OWNER)
    with cluster.cursor() as cursor:
        cursor.execute(
            f"CREATE DATABASE {name} OWNER {login} TEMPLATE template0 ENCODING '{encoding}'"
            " LC_COLLATE 'C' LC_CTYPE 'C'"
        )
    return cluster.url_of(name, login)


@pytest.fixture(params=["SQL_ASCII", "LATIN1", "EUC_JP"])
def narrow(request: pytest.FixtureRequest, cluster: Cluster) -> tuple[str, str]:
    """A database that cannot hold Unicode: its encoding and its URL."""
    return request.param, database_in(cluster, request.param)


@pytest.mark.proves("FR-002", "FR-012")
def test_the_service_refuses_a_database_that_cannot_hold_unicode(
    narrow: tuple[str, str],
    old_migrations: None,
    settings: Settings,
    signer: Signer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    encoding, url = narrow
    migrations.upgrade(url)
    app = create_app(settings.model_copy(update={"database_url": url}))
    headers = {"Authorization": f"Bearer {signer.token('x')}"}
    with served(app) as base, httpx2.Client(base_url=base, headers=headers) as client:
        for title in (TITLE, "ASCII alone"):
            problem(client.post(TASKS, json={"title": title}), 503, "database_unavailable")
        problem(client.get("/readyz"), 503, "database_unavailable")
    assert f"the database's encoding is {encoding}, and tasks need UTF8" in caplog.text


def test_migrate_and_doctor_refuse_a_database_that_cannot_hold_unicode(
    narrow: tuple[str, str], tmp_path: Path, cluster: Cluster
) -> None:
    encoding, url = narrow
    migrated = invoked(tmp_path, "migrate", DATABASE_URL=url)
    assert migrated.exit_code == 1
    said = f"the database's encoding is {encoding}, and tasks need UTF8: make a new database"
    assert said in " ".join(migrated.stderr.split())
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regnamespace('tasks_backend')")
        assert cursor.fetchone() == (None,), "something was made"
    connection.close()
    variables = {"JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE, "JWKS_URL": "http://127.0.0.1:1"}
    diagnosis = invoked(tmp_path, "doctor", DATABASE_URL=url, **variables)
    assert diagnosis.exit_code == 1
    assert said in diagnosis.stdout


@pytest.fixture(params=["environment", "url", "options", "login", "database"])
def with_latin1_clients(
    request: pytest.FixtureRequest, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> str:
    """A UTF8 database, with a setting on the way there that requests another client encoding."""
    login = cluster.login(NEON_OWNER)
    name, url = cluster.database(login)
    with cluster.cursor() as cursor:
        if request.param == "environment":
            monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
        elif request.param == "url":
            url = make_dsn(url, client_encoding="LATIN1")
        elif request.param == "options":
            url = make_dsn(url, options="-c client_encoding=LATIN1")
        elif request.param == "login":
            cursor.execute(f"ALTER ROLE {login} SET client_encoding = 'LATIN1'")
        else:
            cursor.execute(f"ALTER DATABASE {name} SET client_encoding = 'LATIN1'")
    return url


@pytest.mark.proves("FR-002", "SC-001")
def test_the_service_uses_utf8_whatever_is_configured(
    with_latin1_clients: str, settings: Settings, signer: Signer
) -> None:
    migrations.upgrade(with_latin1_clients)
    app = create_app(settings.model_copy(update={"database_url": with_latin1_clients}))
    headers = {"Authorization": f"Bearer {signer.token('x')}"}
    with served(app) as base, httpx2.Client(base_url=base, headers=headers) as client:
        user = User("x", client)
        task = user.create(title=TITLE, description=TITLE)
        assert user.read(task["id"])["title"] == TITLE
        assert client.get(TASKS).json()["items"][0]["description"] == TITLE
