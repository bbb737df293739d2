"""On SIGTERM the service finishes running requests, accepts no new ones, and ends in time."""

import contextlib
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import psycopg2
import pytest
from support.commands import process
from support.service import connected, one_answer, rest
from support.waiting import listens

from tasks_backend import Settings, create_app
from tasks_backend.serving import connection_bounds
from tasks_backend.testing.service import served
from tasks_backend.testing.signing import Signer
from tasks_backend.testing.waiting import until

TASKS = "/api/v1/tasks"
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


def wait_until_refused(base: str) -> None:
    """Return when new connections are refused."""
    port = urlsplit(base).port or 0
    until(lambda: not listens(port), "new connections to be refused")


def test_running_requests_are_finished_and_new_ones_refused(
    tmp_path: Path, environment: dict[str, str], database: str, signer: Signer
) -> None:
    headers = {"Authorization": f"Bearer {signer.token('last')}"}
    blocker = psycopg2.connect(database)
    with (
        process(tmp_path, **environment) as (program, base),
        blocker.cursor() as cursor,
        ThreadPoolExecutor(1) as executor,
    ):
        cursor.execute("LOCK TABLE tasks_backend.tasks IN ACCESS EXCLUSIVE MODE")
        last = executor.submit(
            httpx2.post, base + TASKS, headers=headers, json={"title": "last"}, timeout=30
        )
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'tasks_backend.tasks'::regclass"
        while True:
            cursor.execute(waiting)
            if cursor.fetchone() != (0,):
                break
            time.sleep(0.01)
        program.send(signal.SIGTERM)
        wait_until_refused(base)
        blocker.close()
        answer = last.result(30)
        program.process.wait(20)
    assert answer.status_code == 201
    assert answer.headers["connection"] == "close"
    with psycopg2.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM tasks_backend.tasks WHERE id = %s", (answer.json()["id"],)
        )
        assert cursor.fetchone() == (1,)
    connection.close()


def test_a_request_in_transit_is_answered(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a connection that was idle at the signal: its next answer is the last."""
    monkeypatch.setattr(connection_bounds, "IDLE_CLOSE_DELAY", 20.0)
    with ThreadPoolExecutor(1) as executor, contextlib.ExitStack() as stack:
        base = stack.enter_context(served(create_app(settings)))
        connection = connected(base)
        connection.sendall(LIVEZ)
        assert one_answer(connection).startswith(b"HTTP/1.1 200")
        stopped = executor.submit(stack.close)
        wait_until_refused(base)
        connection.sendall(LIVEZ)
        answer = rest(connection)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in answer
        connection.close()
        stopped.result(30)


def test_an_idle_connection_does_not_delay_the_stop(settings: Settings) -> None:
    with served(create_app(settings)) as base:
        idle, silent = connected(base), connected(base)
        idle.sendall(LIVEZ)
        assert one_answer(idle).startswith(b"HTTP/1.1 200")
    assert idle.recv(1) == b""
    assert silent.recv(1) == b""
    idle.close()
    silent.close()
