"""The service as a separate process with one worker, and users with one task each."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx2
import pytest
from support.commands import serving

from tasks_backend.testing.signing import Signer

PEOPLE = 200


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--overload-seconds", type=float, default=5.0, help="for each step")


@dataclass
class Running:
    """The service, and the requests for it."""

    host: str
    port: int
    requests: list[bytes]
    """One GET of an own task for each user, as bytes."""

    def of_many(self) -> Iterator[bytes]:
        return itertools.cycle(self.requests[1:])

    def of_one(self) -> Iterator[bytes]:
        return itertools.repeat(self.requests[0])


@pytest.fixture(scope="session")
def running(
    environment: dict[str, str], signer: Signer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("service")
    with serving(home, **environment) as base:
        address = urlsplit(base)
        requests = [_a_task(base, signer, number) for number in range(PEOPLE)]
        yield Running(address.hostname or "", address.port or 0, requests)


def _a_task(base: str, signer: Signer, number: int) -> bytes:
    token = signer.token(f"person-{number}")
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx2.post(f"{base}/api/v1/tasks", headers=headers, json={"title": "x"}, timeout=20)
    path = answer.headers["location"]
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
