"""The command line, run in a separate process with an empty PATH."""

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from support.commands import COMMAND, environment, free_port, run
from support.databases import NEON_OWNER, Cluster
from support.service import problem
from support.signing import AUDIENCE, ISSUER, Signer

from tasks_backend.dev.issuer import Issuer

TASKS = "/api/v1/tasks"


@contextlib.contextmanager
def running(home: Path, *arguments: str, **variables: str) -> Iterator["subprocess.Popen[str]"]:
    """A command in its own process group, ended with SIGINT."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(home, **variables),
        cwd=home,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(30)
        assert process.stdout
        process.stdout.close()


def wait_until_alive(process: "subprocess.Popen[str]", url: str) -> None:
    give_up = time.monotonic() + 60
    while True:
        assert process.poll() is None, process.stdout.read() if process.stdout else ""
        assert time.monotonic() < give_up, "the service does not answer"
        with contextlib.suppress(httpx2.TransportError):
            if httpx2.get(f"{url}/livez", timeout=5).status_code == 200:
                return
        time.sleep(0.05)


def welcome(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C" in line:
            return "".join(lines)
    raise AssertionError("".join(lines))


def read_until(process: "subprocess.Popen[str]", words: str) -> None:
    """Read the log up to a line with this text."""
    assert process.stdout
    assert any(words in line for line in process.stdout)


@pytest.mark.proves("SC-007", "SC-008", "FR-007")
def test_dev_starts_everything_and_keeps_the_data(tmp_path: Path) -> None:
    """Its token works, its three commands can be pasted, and tasks survive Ctrl-C."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = ("dev", "--port", str(port), "--data-dir", "here")
    with running(tmp_path, *arguments) as process:
        text = welcome(process)
        assert f"{url}/docs" in text
        wait_until_alive(process, url)
        lines = [line for line in text.splitlines() if line.startswith(("export ", "curl "))]
        assert len(lines) == 4
        pasted = subprocess.run(
            ["/bin/sh", "-e"],
            input="\n".join(lines),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        created, listed = pasted.stdout.index('"title":"Buy milk"'), pasted.stdout.count("Buy milk")
        assert created
        assert listed == 3
        token = re.search(r"^ey[\w.-]+$", text, re.MULTILINE)
        assert token
        taken = run(tmp_path, "dev", "--port", str(free_port()), "--data-dir", "here")
        assert (taken.returncode, taken.stdout) == (1, "")
        assert re.fullmatch(
            r"error: .*here is in use by another `tasks-backend dev`\n", taken.stderr
        )
        port_taken = run(tmp_path, "dev", "--port", str(port), "--data-dir", "there")
        assert port_taken.returncode == 1
        assert re.fullmatch(
            rf"error: 127.0.0.1:{port}: Address already in use\n", port_taken.stderr
        )
    assert process.returncode == 0
    with running(tmp_path, *arguments, "--seed", "2", "--no-reload") as process:
        assert "2 demonstration tasks" in welcome(process)
        wait_until_alive(process, url)
        headers = {"Authorization": f"Bearer {token[0]}"}
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
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    plugin = tmp_path / "plugin"
    plugin.mkdir()
    with running(tmp_path, "dev", "--port", str(port), "--reload-dir", "plugin") as process:
        text = welcome(process)
        token = re.search(r"^ey[\w.-]+$", text, re.MULTILINE)
        assert token
        read_until(process, "Application startup complete")
        postmaster = (tmp_path / ".tasks-backend/postgres/postmaster.pid").read_text()
        (plugin / "routes.py").write_text("changed = True\n")
        read_until(process, "Application startup complete")
        headers = {"Authorization": f"Bearer {token[0]}"}
        assert httpx2.get(url + TASKS, headers=headers, timeout=30).status_code == 200
        assert (tmp_path / ".tasks-backend/postgres/postmaster.pid").read_text() == postmaster


@pytest.mark.proves("SC-002")
def test_serve_never_accepts_a_development_token(tmp_path: Path, database: str) -> None:
    """Not even with the development issuer's key set as JWKS_URL."""
    issuer = Issuer(tmp_path)
    issuer.make_key()
    keys = issuer.serve()
    port = free_port()
    try:
        with running(
            tmp_path,
            "serve",
            "--port",
            str(port),
            DATABASE_URL=database,
            JWT_ISSUER="http://tasks-backend.localhost",
            JWT_AUDIENCE="http://tasks-backend.localhost",
            JWKS_URL=f"http://127.0.0.1:{keys.server_port}/api/auth/jwks",
            TAKES_DEVELOPMENT_KEYS="true",
        ) as process:
            wait_until_alive(process, f"http://127.0.0.1:{port}")
            response = httpx2.get(
                f"http://127.0.0.1:{port}{TASKS}",
                headers={"Authorization": f"Bearer {issuer.token('alice')}"},
            )
            problem(response, 401, "invalid_token")
    finally:
        keys.shutdown()
        keys.server_close()


@pytest.mark.proves("FR-007")
def test_migrate_and_serve_with_two_workers(
    tmp_path: Path, cluster: Cluster, settings: object, signer: Signer
) -> None:
    _, url = cluster.database(cluster.login(NEON_OWNER))
    migrated = run(tmp_path, "migrate", DATABASE_URL=url)
    assert (migrated.returncode, migrated.stdout) == (0, "The schema is at revision 0003.\n")
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    arguments = ["serve", "--port", str(port), "--workers", "2"]
    with running(
        tmp_path,
        *arguments,
        DATABASE_URL=url,
        JWT_ISSUER=ISSUER,
        JWT_AUDIENCE=AUDIENCE,
        JWKS_URL=settings.jwks_url,  # type: ignore[attr-defined] # a Settings
    ) as process:
        wait_until_alive(process, base)
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
        ("openapi", {}, 2, None),
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
                "this is a pooled address, and migrations need a direct one: set DATABASE_URL_UNPOOLED"
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


def test_openapi_prints_the_document(tmp_path: Path) -> None:
    result = run(tmp_path, "openapi", **GOOD)
    assert result.returncode == 0
    assert json.loads(result.stdout)["openapi"].startswith("3.1")
