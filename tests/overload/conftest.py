"""The service as a process of its own, one worker, and people with a task each."""

import itertools
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from support.key_server import KeyServer
from support.signing import AUDIENCE, ISSUER, Signer

PEOPLE = 200


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--overload-seconds", type=float, default=5.0, help="for each step")


@dataclass
class Running:
    """The service, and what to send it."""

    host: str
    port: int
    requests: list[bytes]
    """One GET of somebody's own task for each person, as bytes."""

    def of_many(self) -> Iterator[bytes]:
        return itertools.cycle(self.requests[1:])

    def of_one(self) -> Iterator[bytes]:
        return itertools.repeat(self.requests[0])


@pytest.fixture(scope="session")
def running(database: str, signer: Signer, key_server: KeyServer) -> Iterator[Running]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "DATABASE_URL": database,
        "JWT_ISSUER": ISSUER,
        "JWT_AUDIENCE": AUDIENCE,
        "JWKS_URL": key_server.url,
    }
    command = [sys.executable, "-m", "tasks_backend", "serve", "--port", str(port)]
    with tempfile.TemporaryDirectory() as empty, (Path(empty) / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=empty, stderr=log)
        try:
            base = f"http://127.0.0.1:{port}"
            _wait(base)
            yield Running("127.0.0.1", port, [_a_task(base, signer, n) for n in range(PEOPLE)])
        finally:
            process.terminate()
            process.wait(30)


def _wait(base: str) -> None:
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        try:
            if httpx2.get(f"{base}/readyz", timeout=5).status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.1)
    raise AssertionError("the service did not start")


def _a_task(base: str, signer: Signer, number: int) -> bytes:
    token = signer.token(f"person-{number}")
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx2.post(f"{base}/api/v1/tasks", headers=headers, json={"title": "x"}, timeout=20)
    path = answer.headers["location"]
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
