"""Readiness tells the truth, and lets a database that scales to zero sleep."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from support.proxy import PostgresProxy
from support.service import problem, served
from support.signing import Signer

from tasks_backend import Settings, create_app
from tasks_backend.db import readiness

TASKS = "/api/v1/tasks"


@pytest.fixture
def client(proxy: PostgresProxy, settings: Settings, signer: Signer) -> Iterator[httpx2.Client]:
    app = create_app(settings.model_copy(update={"database_url": proxy.url, "pool_size": 2}))
    headers = {"Authorization": f"Bearer {signer.token('prober')}"}
    with served(app) as url, httpx2.Client(base_url=url, headers=headers, timeout=30) as client:
        yield client


@pytest.fixture
def quiet_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has used the service for so long that its database may have been suspended."""
    monkeypatch.setattr(readiness, "AWAKE", -1.0)


def test_a_database_in_use_is_asked(client: httpx2.Client, proxy: PostgresProxy) -> None:
    assert client.get("/readyz").status_code == 200
    proxy.messages.clear()
    assert client.get("/readyz").status_code == 200
    assert proxy.messages["Q"] == 1
    proxy.refuse()
    problem(client.get("/readyz"), 503, "database_unavailable")
    proxy.accept()
    assert client.get("/readyz").status_code == 200


@pytest.mark.usefixtures("quiet_for_long")
def test_a_database_that_may_sleep_is_left_alone(
    client: httpx2.Client, proxy: PostgresProxy
) -> None:
    assert client.get("/readyz").status_code == 200
    proxy.messages.clear()
    for _ in range(20):
        assert client.get("/readyz").status_code == 200
    proxy.refuse()  # suspended: its connections end, and nothing wakes it
    for _ in range(20):
        assert client.get("/readyz").status_code == 200
    assert not proxy.messages
    proxy.accept()
    assert client.get(TASKS).status_code == 200, "it wakes for a request"


@pytest.mark.usefixtures("quiet_for_long")
def test_one_that_a_request_could_not_reach_is_asked_until_it_is_back(
    client: httpx2.Client, proxy: PostgresProxy
) -> None:
    assert client.get("/readyz").status_code == 200
    proxy.refuse()
    problem(client.get(TASKS), 503, "database_unavailable")
    for _ in range(3):
        problem(client.get("/readyz"), 503, "database_unavailable")
    proxy.accept()
    assert client.get("/readyz").status_code == 200


def test_many_probes_at_once_are_one_question(client: httpx2.Client, proxy: PostgresProxy) -> None:
    assert client.get("/readyz").status_code == 200
    proxy.messages.clear()
    proxy.freeze()
    with ThreadPoolExecutor(8) as executor:
        answers = [executor.submit(client.get, "/readyz") for _ in range(8)]
        statuses = {answer.result(30).status_code for answer in answers}
    proxy.thaw()
    assert statuses == {503}, "no answer within the time that a probe is given"
    assert proxy.messages["Q"] <= 1
