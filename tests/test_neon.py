"""The commands of docs/neon.md do what it says, and Neon's managed Better Auth works by its two variables."""

import re
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx2
import jwt
import psycopg2
import pytest
from support.commands import COMMAND, serving
from support.commands import environment as environment_of
from support.programs import attempt

from tasks_backend import Settings, create_app
from tasks_backend.db import migrations
from tasks_backend.testing.databases import NEON_OWNER, Cluster
from tasks_backend.testing.key_server import KeyServer, json_answer
from tasks_backend.testing.service import User, problem, served
from tasks_backend.testing.signing import Signer, key_set

TASKS = "/api/v1/tasks"
DOCUMENT = (Path(__file__).parents[1] / "docs" / "neon.md").read_text()


@pytest.fixture
def documented(cluster: Cluster) -> tuple[str, str]:
    """A database, with the URL of its owner and the URL of the login of docs/neon.md."""
    name, url = cluster.database(cluster.login(NEON_OWNER))
    migrations.upgrade(url)
    (block,) = re.findall(r"```sql\n(.*?)```", DOCUMENT, re.DOTALL)
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_roles WHERE rolname = 'tasks_service'")
        if cursor.fetchone() == (0,):
            app_role = role_of(url)
            cursor.execute(block.replace("tasks_app", app_role))
    connection.close()
    return url, cluster.url_of(name, "tasks_service")


def role_of(url: str) -> str:
    """The role of this database: the default name may be taken by another login of the cluster."""
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolname FROM pg_roles WHERE rolname LIKE 'tasks\\_app%'"
            " AND pg_has_role(oid, 'MEMBER')"
        )
        (role,) = (row[0] for row in cursor.fetchall())
    connection.close()
    return str(role)


def test_the_login_made_in_sql_can_serve_and_has_no_other_rights(
    documented: tuple[str, str], settings: Settings, signer: Signer
) -> None:
    _, url = documented
    headers = {"Authorization": f"Bearer {signer.token('neon')}"}
    app = create_app(settings.model_copy(update={"database_url": url}))
    with served(app) as base, httpx2.Client(base_url=base, headers=headers) as client:
        task = User("neon", client).create()
        assert client.get("/readyz").status_code == 200
        assert client.delete(f"/api/v1/tasks/{task['id']}").status_code == 204
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        for forbidden in (
            "SELECT * FROM tasks_backend.tasks",
            "DROP TABLE tasks_backend.tasks",
            "CREATE TABLE tasks_backend.mine ()",
        ):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(forbidden)
            connection.rollback()
    connection.close()


@pytest.mark.parametrize(
    "host", ["ep-x-pooler.eu-central-1.aws.neon.tech", "ep-x-pooler.example.internal"]
)
def test_migrations_refuse_a_pooled_address(host: str) -> None:
    with pytest.raises(migrations.MigrationError, match="DATABASE_URL_UNPOOLED"):
        migrations.upgrade(
            f"postgresql://u:p@{host}/neondb?sslmode=require&channel_binding=require"
        )


# Neon's managed Better Auth: its documentation's shape ("JWT", September 2026)

ORIGIN = "https://ep-calm-sea.neonauth.eu-central-1.aws.neon.tech"
KEYS_PATH = "/neondb/auth/.well-known/jwks.json"


@pytest.fixture
def managed(signer: Signer) -> Iterator[dict[str, str]]:
    """The two variables that Neon gives; the keys are at their well-known path alone."""
    found = json_answer(key_set(signer))

    def answer(request: BaseHTTPRequestHandler) -> None:
        if request.path == KEYS_PATH:
            found(request)
        else:
            request.send_error(404)

    with KeyServer(answer) as server:
        origin = server.url.partition("/api")[0]
        yield {
            "NEON_AUTH_BASE_URL": f"{ORIGIN}/neondb/auth",
            "NEON_AUTH_JWKS_URL": f"{origin}{KEYS_PATH}",
        }


def managed_token(signer: Signer, user_id: str, **changed: Any) -> str:
    """A token with the payload that Neon documents."""
    now = int(time.time())
    payload: dict[str, Any] = {
        "iat": now,
        "name": "User Name",
        "email": "user@email.com",
        "emailVerified": False,
        "image": None,
        "createdAt": "2025-12-20T11:04:41.437Z",
        "updatedAt": "2025-12-20T11:04:41.437Z",
        "role": "authenticated",
        "banned": False,
        "banReason": None,
        "banExpires": None,
        "o": {"id": "org-123", "slug": "my-org", "role": "owner"},
        "id": user_id,
        "sub": user_id,
        "exp": now + 900,
        "iss": ORIGIN,
        "aud": ORIGIN,
    }
    headers = {"kid": signer.kid, "typ": None}
    return jwt.encode({**payload, **changed}, signer.private, algorithm="EdDSA", headers=headers)


@pytest.mark.proves("FR-008", "FR-009", "FR-010")
def test_a_token_of_neons_managed_better_auth_is_its_users(
    managed: dict[str, str], database: str, signer: Signer, tmp_path: Path
) -> None:
    alice, bob = str(uuid.uuid4()), str(uuid.uuid4())
    with serving(tmp_path, DATABASE_URL=database, **managed) as base:
        bearers = {
            name: {"Authorization": f"Bearer {managed_token(signer, name)}"}
            for name in (alice, bob)
        }
        with httpx2.Client(base_url=base) as client:
            task = client.post(TASKS, json={"title": "Neon"}, headers=bearers[alice])
            assert (task.status_code, task.json()["user_id"]) == (201, alice)
            path = task.headers["location"]
            assert client.get(path, headers=bearers[alice]).json() == task.json()
            problem(client.get(path, headers=bearers[bob]), 404, "task_not_found")
            for wrong in ({"iss": f"{ORIGIN}/neondb/auth"}, {"aud": "https://other.example"}):
                headers = {"Authorization": f"Bearer {managed_token(signer, alice, **wrong)}"}
                problem(client.get(path, headers=headers), 401, "invalid_token")


@pytest.mark.parametrize(
    ("changed", "words"),
    [({}, "It names a user."), ({"iss": f"{ORIGIN}/neondb/auth"}, f"{ORIGIN}/neondb/auth")],
)
def test_doctor_understands_neons_managed_better_auth(
    managed: dict[str, str],
    database: str,
    signer: Signer,
    tmp_path: Path,
    changed: dict[str, str],
    words: str,
) -> None:
    token = managed_token(signer, str(uuid.uuid4()), **changed)
    done = attempt(
        *COMMAND,
        "doctor",
        "--token",
        "-",
        directory=tmp_path,
        environment=environment_of(tmp_path, DATABASE_URL=database, **managed),
        typed=token,
    )
    assert (done.returncode == 0) == (not changed), done.stdout
    assert words in done.stdout
    assert managed["NEON_AUTH_JWKS_URL"] in done.stdout
    assert token not in done.stdout
