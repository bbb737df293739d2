"""Backup, restore and PostgreSQL's own log: the commands of docs/operations.md do what it says."""

import os
import re
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from support.commands import invoked

from tasks_backend.db import migrations
from tasks_backend.testing.databases import NEON_OWNER, PLAIN_OWNER

pytest.importorskip("psutil", reason="the server's programs are watched with it")

from faults.postgres import Postgres

DOCUMENT = (Path(__file__).parents[1] / "docs" / "operations.md").read_text()
BACKUP, LOGGING = re.findall(r"```sql\n(.*?)```", DOCUMENT, re.DOTALL)
DUMP, RESTORE, _ = next(
    block.strip().splitlines()
    for block in re.findall(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL)
    if "pg_dump" in block
)
ROW_COUNT = "SELECT count(*) FROM tasks_backend.tasks"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A server of its own: its log is read."""
    with Postgres.running() as server:
        yield server


@pytest.fixture
def owned(postgres: Postgres) -> tuple[str, str]:
    """A database with a task, whose owner row-level security binds, and the owner's URL."""
    name, url = postgres.cluster.database(postgres.cluster.login(PLAIN_OWNER))
    migrations.upgrade(url)
    with postgres.cluster.cursor(name) as cursor:
        cursor.execute("INSERT INTO tasks_backend.users (id) VALUES ('u')")
        cursor.execute(
            "INSERT INTO tasks_backend.tasks (id, user_id, title)"
            " VALUES (gen_random_uuid(), 'u', 'kept')"
        )
    return name, url


def shell(postgres: Postgres, home: Path, command: str, **variables: str) -> int:
    path = f"{postgres.binaries}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-c", command],
        env={"PATH": path, **variables},
        cwd=home,
        capture_output=True,
        timeout=60,
        check=False,
    ).returncode


@pytest.mark.proves("FR-019")
def test_a_plain_owner_cannot_dump_and_the_documented_login_can(
    postgres: Postgres, owned: tuple[str, str], tmp_path: Path
) -> None:
    """Finding C10. The restored database has the task."""
    name, url = owned
    assert shell(postgres, tmp_path, DUMP, BACKUP_URL=url) != 0
    said = invoked(tmp_path, "doctor", "--json", DATABASE_URL=url)
    assert "pg_dump fails with the login" in said.stdout
    with postgres.cluster.cursor(name) as cursor:
        cursor.execute(BACKUP)
    backup = postgres.cluster.url_of(name, "tasks_backup")
    said = invoked(tmp_path, "doctor", "--json", DATABASE_URL=url, DATABASE_URL_UNPOOLED=backup)
    assert "pg_dump can read all rows with the login tasks_backup" in said.stdout
    assert shell(postgres, tmp_path, DUMP, BACKUP_URL=backup) == 0
    other, other_url = postgres.cluster.database(postgres.cluster.login(NEON_OWNER))
    assert shell(postgres, tmp_path, RESTORE, DATABASE_URL_UNPOOLED=other_url) == 0
    assert invoked(tmp_path, "migrate", DATABASE_URL=other_url).exit_code == 0
    with postgres.cluster.cursor(other) as cursor:
        cursor.execute(ROW_COUNT)
        assert cursor.fetchone() == (1,)


def test_row_security_makes_an_empty_dump(
    postgres: Postgres, owned: tuple[str, str], tmp_path: Path
) -> None:
    _, url = owned
    command = 'pg_dump --enable-row-security --file=empty.sql "$URL"'
    assert shell(postgres, tmp_path, command, URL=url) == 0
    assert "kept" not in (tmp_path / "empty.sql").read_text()


def logged(postgres: Postgres, url: str, secret: str) -> str:
    """What the server writes about two failures with a value in the statement."""
    log = Path(postgres.home).parent / "postgres.log"
    before = len(log.read_text())
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('app.user_id', 'u', false)")
        insert = "INSERT INTO tasks_backend.tasks (id, user_id, title, version)"
        values = "VALUES (gen_random_uuid(), 'u', %s, 0)"
        for failing in (f"{insert} {values}", "SELECT 1 / 0, %s"):
            with pytest.raises(psycopg2.Error):
                cursor.execute(failing, (secret,))
    connection.close()
    return log.read_text()[before:]


def test_the_documented_settings_keep_values_out_of_postgresqls_log(
    postgres: Postgres, owned: tuple[str, str]
) -> None:
    """Finding C13."""
    name, url = owned
    secret = secrets.token_hex(8)
    assert logged(postgres, url, secret).count(secret) == 2, "without them, values are in the log"
    with postgres.cluster.cursor() as cursor:
        cursor.execute(LOGGING.replace("DATABASE tasks", f"DATABASE {name}"))
    said = logged(postgres, url, secret)
    assert "division by zero" in said
    assert secret not in said
