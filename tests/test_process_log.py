"""The log of a process: how it starts, why a worker ended, why a reload failed."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from psycopg2.extensions import make_dsn
from support.commands import COMMAND, process
from support.programs import LOG, Program
from support.waiting import answers

from tasks_backend import Settings
from tasks_backend._version import __version__
from tasks_backend.serving.startup_log import shown_settings
from tasks_backend.testing.key_server import KeyServer
from tasks_backend.testing.signing import AUDIENCE, ISSUER
from tasks_backend.testing.waiting import until

PASSWORD = "hunter2"


class Service:
    """A running `serve`, and its log."""

    def __init__(self, home: Path, program: Program, url: str) -> None:
        self._log = home / LOG
        self.program = program
        self.url = url

    def lines(self) -> list[dict[str, Any]]:
        """All lines of the log, which are JSON."""
        text = self._log.read_text()
        return [json.loads(line) for line in text[: text.rfind("\n")].splitlines()]

    def events(self, *words: str) -> list[dict[str, Any]]:
        """The lines whose event has one of these words."""
        return [line for line in self.lines() if any(word in line["event"] for word in words)]

    def starts(self) -> list[dict[str, Any]]:
        return self.events("tasks_backend starts")

    def answers(self) -> bool:
        return answers(f"{self.url}/livez")


@contextmanager
def serve(home: Path, database: str, keys: KeyServer, **variables: str) -> Iterator[Service]:
    variables |= {
        "DATABASE_URL": make_dsn(database, password=PASSWORD),
        "JWT_ISSUER": ISSUER,
        "JWT_AUDIENCE": AUDIENCE,
        "JWKS_URL": keys.url.replace("//", f"//user:{PASSWORD}@") + f"?key={PASSWORD}",
        "LOG_FORMAT": "json",
        "LOG_SALT": PASSWORD,
    }
    with process(home, "--workers", "2", **variables) as (program, url):
        service = Service(home, program, url)
        until(lambda: len(service.events("Application startup complete")) == 2)
        yield service
    assert PASSWORD not in (home / LOG).read_text()


def test_each_process_first_logs_its_versions_and_its_settings(
    tmp_path: Path, database: str, key_server: KeyServer
) -> None:
    (tmp_path / ".env").write_text("POOL_SIZE=7\n")
    with serve(tmp_path, database, key_server) as service:
        starts = service.starts()
    assert len({line["pid"] for line in starts}) == len(starts) == 2
    for line in starts:
        assert line["version"] == __version__
        assert line["python"].count(".") == 2
        assert line["libpq"].split(".")[0].isdecimal()
        assert (line["pool_size"], line["log_salt"], line["jwks_url"]) == (
            7,
            "set",
            key_server.url,
        )
        assert set(Settings.model_fields) - line.keys() == {
            "better_auth_url",
            "database_url_unpooled",
            "neon_auth_base_url",
            "neon_auth_jwks_url",
        }


def test_urls_are_shown_without_credentials() -> None:
    settings = Settings(
        _env_file=None,
        database_url=f"postgres://me:{PASSWORD}@db.example.com/app?sslmode=require&sslpassword={PASSWORD}",
        database_url_unpooled=f"postgresql://me:{PASSWORD}@a,b:5433/app",
        better_auth_url=f"https://me:{PASSWORD}@auth.example.com/base",
        jwks_url=f"https://me:{PASSWORD}@keys.example.com/jwks?key={PASSWORD}",
    )
    shown = shown_settings(settings)
    assert PASSWORD not in str(shown)
    assert shown["database_url"] == "postgresql://db.example.com:5432/app?sslmode=require"
    assert shown["better_auth_url"] == "https://auth.example.com/base"
    assert shown["jwt_issuer"] == "https://auth.example.com"
    assert shown["jwks_url"] == "https://keys.example.com/jwks"


BROKEN = {
    "a wrong setting": ("POOL_SIZE=many\n", "POOL_SIZE: "),
    "two wrong settings": ("POOL_SIZE=many\nLOG_LEVEL=loud\n", "; LOG_LEVEL: "),
    "a plugin that cannot be imported": ("PLUGINS=broken\n", "plugin 'broken' cannot be loaded"),
}


@pytest.fixture
def broken_plugin(tmp_path: Path) -> str:
    """A directory for PYTHONPATH with an installed plugin whose import fails."""
    metadata = tmp_path / "plugins" / "broken-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[tasks_backend.plugins]\nbroken = broken:plugin\n")
    (tmp_path / "plugins" / "broken.py").write_text("raise RuntimeError('it is broken')\n")
    return str(tmp_path / "plugins")


def test_a_failed_reload_is_said_in_a_line_and_the_old_workers_go_on(
    tmp_path: Path, database: str, key_server: KeyServer, broken_plugin: str
) -> None:
    with serve(tmp_path, database, key_server, PYTHONPATH=broken_plugin) as service:
        for number, (text, reason) in enumerate(BROKEN.values(), 1):
            (tmp_path / ".env").write_text(text)
            service.program.send(signal.SIGHUP)
            _until_aborted(service, number)
            failed = service.events("the service does not start: ")
            assert len(failed) == number
            assert failed[-1]["level"] == "error"
            assert reason in failed[-1]["event"]
            assert "exception" not in failed[-1]
            assert service.answers()
        assert not service.events("died")
        (tmp_path / ".env").write_text("POOL_SIZE=3\n")
        before = len(service.starts())
        service.program.send(signal.SIGHUP)
        until(lambda: len(service.starts()) == before + 2)
        assert {line["pool_size"] for line in service.starts()[before:]} == {3}


def _until_aborted(service: Service, times: int) -> None:
    until(lambda: len(service.events("aborting the restart")) == times)


def test_a_worker_that_dies_is_a_warning_with_the_signal(
    tmp_path: Path, database: str, key_server: KeyServer
) -> None:
    with serve(tmp_path, database, key_server) as service:
        pid = service.starts()[0]["pid"]
        os.kill(pid, signal.SIGKILL)
        until(lambda: len(service.starts()) == 3)
        until(service.answers)
        (died,) = service.events(f"worker {pid} ")
    assert died["level"] == "warning"
    assert died["event"] == f"worker {pid} died (SIGKILL); another one starts"


@pytest.mark.parametrize(
    ("variables", "code"), [({"POOL_SIZE": "many"}, 2), ({"PLUGINS": "nope"}, 2), ({}, 1)]
)
def test_without_standard_error_a_failed_start_has_its_exit_code(
    settings: Settings, tmp_path: Path, variables: dict[str, str], code: int
) -> None:
    """The last case: another process listens at the port."""
    environment = os.environ | {
        "DATABASE_URL": settings.database_url,
        "JWT_ISSUER": ISSUER,
        "JWT_AUDIENCE": AUDIENCE,
        "JWKS_URL": settings.keys_url,
        **variables,
    }
    with KeyServer(lambda _: None) as taken:
        port = taken.url.split(":")[2].partition("/")[0]
        words = f"exec {' '.join([*COMMAND, 'serve', '--port', port])} <&- >&- 2>&-"
        done = subprocess.run(
            ["/bin/sh", "-c", words], env=environment, cwd=tmp_path, timeout=60, check=False
        )
    assert done.returncode == code
