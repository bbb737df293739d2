"""Retries are limited by the deadline, the attempts, and a budget that successes refill."""

import time
from collections.abc import Iterator

import httpx2
import pytest
from support.proxy import PostgresProxy

from tasks_backend import Settings, create_app
from tasks_backend.db.retries import ATTEMPTS, BACKOFF, RESERVE, RetryBudget, pause
from tasks_backend.testing.service import problem, served
from tasks_backend.testing.signing import Signer

TASKS = "/api/v1/tasks"


def test_the_budget_is_a_reserve_plus_a_tenth_of_the_successes() -> None:
    budget = RetryBudget()
    assert [budget.spend() for _ in range(12)] == [True] * 10 + [False] * 2
    for _ in range(25):
        budget.earn()
    assert [budget.spend() for _ in range(3)] == [True, True, False]
    for _ in range(10_000):
        budget.earn()
    assert [budget.spend() for _ in range(12)] == [True] * 10 + [False] * 2


def test_pauses_are_random_over_their_whole_range() -> None:
    for attempt in (1, 2):
        pauses = [pause(attempt) for _ in range(1000)]
        assert 0 <= min(pauses) < 0.1 * BACKOFF * 2**attempt
        assert 0.9 * BACKOFF * 2**attempt < max(pauses) <= BACKOFF * 2**attempt


@pytest.fixture
def client(database: str, settings: Settings, signer: Signer) -> Iterator[httpx2.Client]:
    with PostgresProxy(database) as proxy:
        app = create_app(settings.model_copy(update={"database_url": proxy.url}))
        headers = {"Authorization": f"Bearer {signer.token('x')}"}
        with served(app) as url, httpx2.Client(base_url=url, headers=headers) as client:
            proxy.refuse()
            client.params = {"limit": 1}
            yield client


def exchanges(caplog: pytest.LogCaptureFixture) -> list[int]:
    """The number of database calls of each request, in order."""
    return [vars(record)["exchanges"] for record in caplog.records if record.msg == "request"]


def test_in_an_outage_requests_soon_stop_retrying(
    client: httpx2.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="tasks_backend.requests"):
        for _ in range(20):
            problem(client.get(TASKS), 503, "database_unavailable")
        give_up = time.monotonic() + 20
        while len(asked := exchanges(caplog)) < 20:  # a log line may come after its answer
            assert time.monotonic() < give_up
            time.sleep(0.01)
    assert sum(asked) == 20 + RESERVE
    assert asked[0] == ATTEMPTS
    assert asked[-10:] == [1] * 10
