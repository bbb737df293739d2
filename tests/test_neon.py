"""The commands of docs/neon.md do what it says."""

import re
from pathlib import Path

import httpx2
import psycopg2
import pytest

from tasks_backend import Settings, create_app
from tasks_backend.db import migrations
from tasks_backend.testing.databases import NEON_OWNER, Cluster
from tasks_backend.testing.service import User, served
from tasks_backend.testing.signing import Signer

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
