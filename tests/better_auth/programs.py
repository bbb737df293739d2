"""The two programs of a deployment, as child processes: Better Auth on Node, and the service."""

import contextlib
import json
import os
import shutil
import sysconfig
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import sample
from typing import Any

import httpx2
import psycopg2
from support.programs import attempt, output
from support.programs import running as started
from support.waiting import answers, listens

from better_auth.log import tell

SCRIPTS = sysconfig.get_path("scripts")
SECRET = "a-secret-of-the-tests-and-nobody-elses"
_PORTS = iter(sample(range(20_000, 30_000), 1_000))  # not the range of outgoing connections


@dataclass(frozen=True)
class AuthServer:
    """A running Better Auth. `url` is its base URL, `mount` the prefix of its endpoints."""

    origin: str
    url: str
    mount: str
    log: Path

    @property
    def key_sets_served(self) -> int:
        """The number of key set requests by the service."""
        path = self.mount.removeprefix(self.origin)
        return self.log.read_text().count(f"GET {path}/jwks 200")

    def key_ids(self) -> list[str]:
        """The ids of the currently published keys; the log shows this request as the test's."""
        response = httpx2.get(f"{self.mount}/jwks?for=the-test", timeout=30)
        return [key["kid"] for key in response.raise_for_status().json()["keys"]]


@dataclass(frozen=True)
class Deployment:
    """One database for both programs, and an address for each that does not change on restart."""

    node: Path
    logs: Path
    database: str
    auth_port: int
    api_port: int

    @property
    def auth_origin(self) -> str:
        return f"http://127.0.0.1:{self.auth_port}"

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    @contextlib.contextmanager
    def better_auth(
        self, variant: str = "", path: str = "", options: str = ""
    ) -> Iterator[AuthServer]:
        """Run Better Auth as documented, with a variant or other options, at a base URL's path."""
        url = self.auth_origin + path
        changed = {"BETTER_AUTH_URL": url, "VARIANT": variant, "OPTIONS": options}
        environment = self.auth_environment | changed
        mount = url.rstrip("/") if path.strip("/") else f"{self.auth_origin}/api/auth"
        with self.running(
            "better-auth", ["node", "driver/server.mjs"], environment, f"{mount}/ok"
        ) as log:
            yield AuthServer(self.auth_origin, url, mount, log)

    @contextlib.contextmanager
    def tasks_backend(self, **settings: str) -> Iterator[str]:
        """Run `tasks-backend serve` with only DATABASE_URL and these variables."""
        command = ["tasks-backend", "serve", "--port", str(self.api_port)]
        environment = {"DATABASE_URL": self.database} | settings
        with self.running("tasks-backend", command, environment, f"{self.api}/livez"):
            yield self.api

    def run(self, *command: str, **environment: str) -> str:
        """Run a command of either program to its end and return what it printed."""
        variables = _environment(self.auth_environment | environment)
        return output(*command, directory=self.node, environment=variables)

    def doctor(self, token: str, **settings: str) -> dict[str, str]:
        """The findings of `tasks-backend doctor` about a token, by check."""
        variables = _environment({"DATABASE_URL": self.database} | settings)
        command = "tasks-backend doctor --json --token -".split()
        done = attempt(*command, directory=self.node, environment=variables, typed=token)
        return {found["check"]: found["message"] for found in json.loads(done.stdout)}

    def rows(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Query the database directly, as the owner of both schemas."""
        with (
            contextlib.closing(psycopg2.connect(self.database)) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(query, parameters)
            return list(cursor.fetchall())

    def execute(self, statement: str, **parameters: Any) -> None:
        """Change the database directly, as the owner of both schemas."""
        with (
            contextlib.closing(psycopg2.connect(self.database)) as connection,
            connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement, parameters)

    @property
    def auth_environment(self) -> dict[str, str]:
        """The variables of Better Auth; DATABASE_URL is the same as the service's."""
        return {
            "DATABASE_URL": self.database,
            "BETTER_AUTH_URL": self.auth_origin,
            "BETTER_AUTH_SECRET": SECRET,
            "TASKS_API_URL": self.api,
        }

    @contextlib.contextmanager
    def running(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], ready: str
    ) -> Iterator[Path]:
        """Run a server until the block ends; show its log if the block fails."""
        log = self.logs / f"{name}-{time.monotonic_ns()}.log"
        variables = _environment(environment)
        try:
            with started(command, log, variables, lambda: answers(ready), directory=self.node):
                yield log
        except BaseException:
            tell(f"\n--- the log of {name}\n{log.read_text(errors='replace')[-8000:]}")
            raise


def npm_install(
    directory: Path, sources: Path, version: str | None, *, timeout: float
) -> dict[str, str]:
    """Copy the Node programs to a directory, install their packages there and return the versions.

    `version` is Better Auth's. Its plugins have other releases: the newest ones until then are used.
    """
    for name in ("app", "driver"):
        shutil.copytree(sources / name, directory / name)
    packages = json.loads((sources / "package.json").read_text())
    if version is not None:
        until_then = f"{version.rpartition('.')[0]}.0 - {version}"
        plugins = [name for name in packages["dependencies"] if name.startswith("@better-auth/")]
        packages["dependencies"] |= dict.fromkeys(plugins, until_then) | {"better-auth": version}
    (directory / "package.json").write_text(json.dumps(packages))
    less = ["--omit=peer", "--omit=optional", "--ignore-scripts", "--no-package-lock", "--no-audit"]
    less.append("--legacy-peer-deps")  # the OAuth provider requires the newest versions
    command = ["npm", "install", "--prefer-offline", "--no-fund", "--loglevel=error", *less]
    output(*command, directory=directory, timeout=timeout)
    return {
        name: json.loads((directory / "node_modules" / name / "package.json").read_text())[
            "version"
        ]
        for name in packages["dependencies"]
    }


def free_port() -> int:
    """A free port, a different one each time."""
    return next(port for port in _PORTS if not listens(port))


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    """The given variables and those that any program needs, without the tests' other ones."""
    kept = {name: os.environ[name] for name in ("HOME", "TMPDIR", "LANG") if name in os.environ}
    return {"PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}", **kept, **given}
