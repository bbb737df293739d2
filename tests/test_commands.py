"""The command line, run in a separate process with an empty PATH."""

import contextlib
import json
import re
import shlex
import subprocess
from pathlib import Path
from urllib.parse import quote

import httpx2
import psycopg2
import pytest
from support.commands import COMMAND, free_port, invoked, process, run, serving
from support.plugins import install_plugin
from support.programs import attempt

from tasks_backend.db.statements import REVISIONS
from tasks_backend.dev.issuer import Issuer
from tasks_backend.dev.postgres import DevelopmentError
from tasks_backend.testing.databases import NEON_OWNER, Cluster
from tasks_backend.testing.key_server import KeyServer, json_answer
from tasks_backend.testing.service import problem
from tasks_backend.testing.signing import Signer

TASKS = "/api/v1/tasks"


def token_in(text: str) -> str:
    """The token that `dev` has printed."""
    token = re.search(r"^ey[\w.-]+$", text, re.MULTILINE)
    assert token, text
    return token[0]


def pasted(home: Path, *lines: str) -> list[str]:
    """What these lines print in a new terminal, which is in another directory."""
    elsewhere = home / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    done = subprocess.run(
        ["/bin/bash", "-e"],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "/usr/bin:/bin", "HOME": str(home)},
        cwd=elsewhere,
        check=True,
    )
    assert done.stdout.endswith("\n"), "the prompt would follow the answer"
    return done.stdout.splitlines()


@pytest.mark.proves("SC-007", "SC-008", "FR-007")
def test_dev_starts_everything_and_keeps_the_data(tmp_path: Path) -> None:
    """Its token works, its three commands can be pasted, and tasks survive Ctrl-C."""
    with process(tmp_path, "--data-dir", "here", start="dev") as (program, url):
        text = program.log.read_text()
        assert f"{url}/docs" in text
        lines = [line for line in text.splitlines() if line.startswith(("export ", "curl "))]
        assert len(lines) == 4
        answers = [json.loads(line) for line in pasted(tmp_path, *lines)]
        assert answers[0]["title"] == "Buy milk"
        assert [answer["items"] for answer in answers[1:]] == [answers[:1], answers[:1]]
        (psql,) = re.findall(r"^  SQL +(.+)$", text, re.MULTILINE)
        assert "1" in pasted(tmp_path, f"{psql} -Atc 'SELECT count(*) FROM tasks_backend.tasks'")
        (token,) = re.findall(r"^  For another user: (.+)$", text, re.MULTILINE)
        assert re.fullmatch(r"ey[\w.-]+", "".join(pasted(tmp_path, token)))
        (better_auth,) = re.findall(r"DATABASE_URL=(\S+)$", text, re.MULTILINE)
        with contextlib.closing(psycopg2.connect(better_auth)) as connection:
            assert connection.info.dbname == "better_auth"
        headers = {"Authorization": f"Bearer {token_in(text)}"}
        taken = run(tmp_path, "dev", "--port", str(free_port()), "--data-dir", "here")
        assert (taken.returncode, taken.stdout) == (1, "")
        assert re.fullmatch(
            r"error: .*here is in use by another `tasks-backend dev`\n", taken.stderr
        )
        port = url.rpartition(":")[2]
        port_taken = run(tmp_path, "dev", "--port", port, "--data-dir", "there")
        assert port_taken.returncode == 1
        assert re.fullmatch(
            rf"error: 127.0.0.1:{port}: Address already in use\n", port_taken.stderr
        )
    assert program.process.returncode == 0
    again = ("--data-dir", "here", "--seed", "2", "--no-reload")
    with process(tmp_path, *again, start="dev") as (program, url):
        assert "2 demonstration tasks" in program.log.read_text()
        items = httpx2.get(url + TASKS, headers=headers).json()["items"]
        assert [item["title"] == "Buy milk" for item in items] == [True, False, False]
        bobs = run(tmp_path, "token", "bob", "--data-dir", "here", "--ttl", "60")
        assert re.fullmatch(r"ey[\w.-]+\n", bobs.stdout)
        headers = {"Authorization": f"Bearer {bobs.stdout.strip()}"}
        assert httpx2.get(url + TASKS, headers=headers).json()["items"] == []
    assert not (tmp_path / "here" / "postgres" / "postmaster.pid").exists(), "everything is stopped"
    assert (tmp_path / "here" / "issuer.json").stat().st_mode & 0o077 == 0


def test_a_source_change_restarts_only_the_service(tmp_path: Path) -> None:
    """PostgreSQL, the keys and the token survive the restart."""
    plugin = tmp_path / "plugin"
    plugin.mkdir()
    with process(tmp_path, "--reload-dir", "plugin", start="dev") as (program, url):

        def starts() -> int:
            return program.log.read_text().count("Application startup complete")

        program.wait_for(lambda: starts() == 1, "the service to start")
        postmaster = (tmp_path / ".tasks-backend/postgres/postmaster.pid").read_text()
        (plugin / "routes.py").write_text("changed = True\n")
        program.wait_for(lambda: starts() == 2, "the service to restart")
        headers = {"Authorization": f"Bearer {token_in(program.log.read_text())}"}
        assert httpx2.get(url + TASKS, headers=headers, timeout=30).status_code == 200
        assert (tmp_path / ".tasks-backend/postgres/postmaster.pid").read_text() == postmaster


NOTES = """
from pathlib import Path
from fastapi import APIRouter
from sqlalchemy import column, select
from tasks_backend import OwnRows, Plugin, statement

router = APIRouter()
BROKEN = statement(select(column("missing_word")), idempotent=True)

@router.get("")
async def read(own: OwnRows) -> None:
    await own.run(BROKEN)

history = Path(__file__).parent / "history"
plugin = Plugin("notes", routers={"v1": router}, migrations=history)
"""
REVISION = """
from alembic import op
revision, down_revision = "{revision}", {previous!r}

def upgrade():
    op.execute("{sql}")
"""


def test_dev_applies_a_new_migration_before_it_serves_again(tmp_path: Path) -> None:
    """If the migration fails, the tables stay as they were. PostgreSQL's sentences are shown."""
    install_plugin(tmp_path, "notes", NOTES)
    history = tmp_path / "history"
    history.mkdir()

    def write(revision: str, previous: str | None, sql: str) -> None:
        source = REVISION.format(revision=revision, previous=previous, sql=sql)
        (history / f"{revision}.py").write_text(source)

    write("one", None, "CREATE TABLE tasks_backend_notes.note (id int)")
    variables = {"PLUGINS": "notes", "PYTHONPATH": str(tmp_path), "LOG_FORMAT": "text"}
    with process(tmp_path, start="dev", **variables) as (program, url):
        (database,) = re.findall(r"'(postgresql://\S+)'", program.log.read_text())

        def after_restart(count: int) -> list[tuple[object, ...]]:
            """The revision and the table's columns, once the service has started again."""
            started = "Application startup complete"
            program.wait_for(lambda: program.log.read_text().count(started) == count, started)
            assert httpx2.get(f"{url}/livez", timeout=30).status_code == 200
            with (
                contextlib.closing(psycopg2.connect(database)) as connection,
                connection.cursor() as cursor,
            ):
                cursor.execute(
                    "SELECT (SELECT version_num FROM tasks_backend_notes.alembic_version),"
                    " string_agg(column_name, ',' ORDER BY column_name)"
                    " FROM information_schema.columns WHERE table_name = 'note'"
                )
                return cursor.fetchall()

        assert after_restart(1) == [("one", "id")]
        headers = {"Authorization": f"Bearer {token_in(program.log.read_text())}"}
        assert httpx2.get(f"{url}/api/v1/notes", headers=headers, timeout=30).status_code == 500
        sentence = 'column "missing_word" does not exist'
        program.wait_for(lambda: sentence in program.log.read_text(), "PostgreSQL's sentence")
        write("two", "one", "ALTER TABLE tasks_backend_notes.note ADD author text")
        assert after_restart(2) == [("two", "author,id")]
        wrong = "ALTER TABLE tasks_backend_notes.note ADD more int; SELECT missing_column"
        write("three", "two", wrong)
        assert after_restart(3) == [("two", "author,id")]
        assert 'column "missing_column" does not exist' in program.log.read_text()
        write("three", "two", "ALTER TABLE tasks_backend_notes.note ADD more int")
        assert after_restart(4) == [("three", "author,id,more")]


def test_a_broken_signing_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "issuer.json").touch()
    with pytest.raises(DevelopmentError, match=r"issuer\.json holds no key: delete it"):
        Issuer(tmp_path).token("alice")


@pytest.mark.proves("SC-002")
def test_serve_never_accepts_a_development_token(tmp_path: Path, database: str) -> None:
    """Not even with the development issuer's key set as JWKS_URL."""
    issuer = Issuer(tmp_path)
    issuer.make_key()
    key = json.loads((tmp_path / "issuer.json").read_text())
    del key["d"]
    with (
        KeyServer(json_answer(json.dumps({"keys": [key]}).encode())) as keys,
        serving(
            tmp_path,
            DATABASE_URL=database,
            JWT_ISSUER="http://tasks-backend.localhost",
            JWT_AUDIENCE="http://tasks-backend.localhost",
            JWKS_URL=keys.url,
            TASKS_BACKEND_DEV_DATA=str(tmp_path),
        ) as url,
    ):
        response = httpx2.get(
            f"{url}{TASKS}", headers={"Authorization": f"Bearer {issuer.token('alice')}"}
        )
        problem(response, 401, "invalid_token")


@pytest.mark.proves("FR-007")
def test_migrate_and_serve_with_two_workers(
    tmp_path: Path, cluster: Cluster, environment: dict[str, str], signer: Signer
) -> None:
    _, url = cluster.database(cluster.login(NEON_OWNER))
    migrated = run(tmp_path, "migrate", DATABASE_URL=url)
    assert (migrated.returncode, migrated.stdout) == (
        0,
        f"The schema is at revision {REVISIONS[-1]}.\n",
    )
    variables = {**environment, "DATABASE_URL": url}
    with serving(tmp_path, "--workers", "2", **variables) as base:
        headers = {"Authorization": f"Bearer {signer.token('worker')}"}
        for _ in range(10):
            made = httpx2.post(base + TASKS, json={"title": "x"}, headers=headers)
            assert made.status_code == 201
        assert len(httpx2.get(base + TASKS, headers=headers).json()["items"]) == 10


GOOD = {
    "DATABASE_URL": "postgres://u:p4ss@127.0.0.1:1/d",
    "BETTER_AUTH_URL": "http://localhost:3000",
}


@pytest.mark.parametrize(
    ("arguments", "variables", "code", "lines"),
    [
        (
            "serve",
            {},
            2,
            [
                "DATABASE_URL: is not set",
                "BETTER_AUTH_URL: set it, or all of JWT_ISSUER, JWT_AUDIENCE, JWKS_URL",
            ],
        ),
        ("migrate", {}, 2, ["DATABASE_URL: is not set"]),
        ("serve", {**GOOD, "POOL_SIZE": "many"}, 2, None),
        (
            "serve",
            {**GOOD, "PLUGINS": "audit"},
            2,
            ["PLUGINS names 'audit', which is not installed (installed: metrics, tracing)"],
        ),
        ("migrate", GOOD, 1, None),
        (
            "migrate",
            {"DATABASE_URL": "postgres://u:p4ss@ep-x-pooler.neon.tech/d?channel_binding=require"},
            1,
            [
                (
                    "this address leads to a pooler that gives one session to several clients in turn, and"
                    " migrations need a session of their own: set DATABASE_URL_UNPOOLED to the direct address"
                )
            ],
        ),
        ("token alice", {}, 1, [".tasks-backend has no signing key: start `tasks-backend dev`"]),
        ("dev --data-dir /proc/nowhere", {}, 1, None),
        ("serve --port 0", GOOD, 2, None),
        ("serve --port x", GOOD, 2, None),
        ("nonsense", {}, 2, None),
    ],
)
def test_errors_are_reported_in_lines_without_a_traceback(
    tmp_path: Path, arguments: str, variables: dict[str, str], code: int, lines: list[str] | None
) -> None:
    result = run(tmp_path, *shlex.split(arguments), **variables)
    assert (result.returncode, result.stdout) == (code, "")
    assert "Traceback" not in result.stderr
    assert "p4ss" not in result.stderr
    assert result.stderr.strip()
    if lines is not None:
        assert result.stderr.splitlines() == [f"error: {line}" for line in lines]


@pytest.mark.parametrize("command", ["purge-user x", "move-user a b", "doctor --token -"])
def test_a_closed_standard_input_is_an_error_in_lines(tmp_path: Path, command: str) -> None:
    words = [*COMMAND, *command.split()]
    closed = attempt(
        "/bin/sh", "-c", f"exec {shlex.join(words)} <&-", directory=tmp_path, environment=GOOD
    )
    assert closed.returncode in {1, 2}
    assert closed.stdout + closed.stderr
    assert "Traceback" not in closed.stderr


@pytest.mark.parametrize("command", ["openapi", "--version", "settings --help"])
def test_a_full_disk_is_an_error_in_one_line(tmp_path: Path, command: str) -> None:
    words = [*COMMAND, *command.split()]
    full = attempt(
        "/bin/sh",
        "-c",
        f"exec {shlex.join(words)} >/dev/full",
        directory=tmp_path,
        environment=GOOD,
    )
    assert full.returncode == 1
    assert full.stderr == "error: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize("variables", [{}, GOOD, {"DATABASE_URL": "?", "BETTER_AUTH_URL": "?"}])
def test_openapi_prints_the_document_and_needs_no_setting(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    result = run(tmp_path, "openapi", **variables)
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["openapi"].startswith("3.1")


@pytest.mark.parametrize(
    "password",
    ["hun@ter2", "hun/ter2", "1/ter2", "hun:ter2", "hun?ter2", "hun#ter2", "hun%ter2", "hun ter2"],
)
def test_no_command_prints_a_part_of_the_password(tmp_path: Path, password: str) -> None:
    for written in (password, quote(password, safe="")):
        url = f"postgresql://user:{written}@127.0.0.1:1/database"
        for command in ("migrate", "doctor", "purge-user x --yes", "export-user x"):
            done = invoked(
                tmp_path, *shlex.split(command), DATABASE_URL=url, BETTER_AUTH_URL="http://[::1]:1"
            )
            assert done.exit_code in {1, 2}
            assert done.output.strip()
            assert "ter2" not in done.output
    if any(character in password for character in "@/%"):
        refused = run(tmp_path, "serve", **{**GOOD, "DATABASE_URL": url.replace(written, password)})
        assert refused.returncode == 2
        assert "ter2" not in refused.stderr
