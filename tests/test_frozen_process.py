"""Which keys a process trusts after it was frozen between two requests, as serverless ones are."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import httpx2
import pytest
from support.commands import process as serving_process
from support.key_server import failing_answer, held_answer
from support.programs import Program

from tasks_backend.testing.key_server import KeyServer, json_answer
from tasks_backend.testing.service import problem
from tasks_backend.testing.signing import Signer, key_set
from tasks_backend.testing.waiting import until

REFRESH_AFTER = 0.4  # seconds
ASLEEP = 2 * REFRESH_AFTER + 0.3  # seconds until keys are no longer fresh
SIGNER, OTHER = Signer(), Signer()
WITHDRAWN = json_answer(key_set(OTHER))


@dataclass
class Process:
    """The service in a separate process, and its key set endpoint."""

    running: Program
    url: str
    keys: KeyServer

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Freeze it so long that its keys are not fresh when it continues."""
        self.running.send(signal.SIGSTOP)
        state = Path(f"/proc/{self.running.pid}/stat")
        until(lambda: state.read_text().rpartition(")")[2].split()[0] == "T")
        try:
            yield
            time.sleep(ASLEEP)
        finally:
            self.running.send(signal.SIGCONT)

    def ask(self, signer: Signer = SIGNER) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {signer.token('alice')}"}
        return httpx2.get(f"{self.url}/api/v1/tasks", headers=headers, timeout=30)


@contextmanager
def process(home: Path, environment: dict[str, str], timeout: float = 10.0) -> Iterator[Process]:
    with KeyServer(json_answer(key_set(SIGNER, OTHER))) as keys:
        variables = {
            **environment,
            "JWKS_URL": keys.url,
            "JWKS_REFRESH_AFTER": str(REFRESH_AFTER),
            "JWKS_COOLDOWN": "0.05",
            "JWKS_TIMEOUT": str(timeout),
        }
        with serving_process(home, **variables) as (program, url):
            service = Process(program, url, keys)
            program.wait_for(lambda: service.ask().status_code == 200, "an answer")
            yield service


pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no signal that freezes")


@pytest.mark.proves("FR-008", "FR-009")
def test_a_key_withdrawn_during_the_freeze_is_refused_at_once(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    with process(tmp_path, environment) as service:
        for _ in range(3):
            with service.frozen():
                service.keys.answer = WITHDRAWN
            problem(service.ask(), 401, "invalid_token")
            assert service.ask(OTHER).status_code == 200
            service.keys.answer = json_answer(key_set(SIGNER, OTHER))
            until(lambda: service.ask().status_code == 200)


@pytest.mark.parametrize("timeout", [0.5, 10.0], ids=["too late", "in time"])
def test_a_fetch_started_before_the_freeze_confirms_no_key(
    tmp_path: Path, environment: dict[str, str], timeout: float
) -> None:
    """Its answer came during the freeze: it is outdated, even if within the timeout."""
    released = Event()
    with process(tmp_path, environment, timeout) as service:
        service.keys.answer = held_answer(json_answer(key_set(SIGNER, OTHER)), released)
        asked = service.keys.requests

        def is_asked() -> bool:
            assert service.ask().status_code == 200
            return service.keys.requests > asked

        until(is_asked)
        with service.frozen():
            service.keys.answer = WITHDRAWN
            released.set()
        problem(service.ask(), 401, "invalid_token")


def test_while_the_endpoint_is_down_a_known_key_is_used_once_a_fetch_was_tried(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    with process(tmp_path, environment) as service:
        for _ in range(3):
            with service.frozen():
                service.keys.answer = failing_answer
                asked = service.keys.requests
            assert service.ask().status_code == 200
            assert service.keys.requests > asked
        with service.frozen():
            service.keys.answer = WITHDRAWN
        problem(service.ask(), 401, "invalid_token")
