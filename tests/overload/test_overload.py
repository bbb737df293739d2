"""The behaviour of the service under overload, for each user (FR-012).

The figures are printed; only counts that do not depend on machine noise are asserted.
"""

import asyncio
import sys

import pytest
import uvloop

from .conftest import Running
from .open_loop import Offer, Outcome, percentile

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def seconds(request: pytest.FixtureRequest) -> float:
    value: float = request.config.getoption("--overload-seconds")
    return value


@pytest.fixture(scope="module")
def capacity(running: Running) -> float:
    """The maximum rate: the offered rate grows until some requests are refused."""
    rate, best = 200.0, 0.0
    while True:
        outcome = uvloop.run(many(running, rate, 3))
        best = max(best, outcome.goodput)
        say(f"offered {rate:.0f}/s, served {outcome.goodput:.0f}/s")
        if outcome.statuses[503]:
            return best
        rate *= 1.2


async def many(running: Running, rate: float, seconds: float) -> Outcome:
    offer = Offer(running.host, running.port, rate=rate, seconds=seconds)
    return await offer.make(running.of_many())


async def one(running: Running, rate: float, seconds: float) -> Outcome:
    offer = Offer(running.host, running.port, rate=rate, seconds=seconds)
    return await offer.make(running.of_one())


def say(line: str) -> None:
    sys.stdout.write(f"\n{line}")
    sys.stdout.flush()


def test_goodput_under_more_than_can_be_done(
    running: Running, capacity: float, seconds: float
) -> None:
    say(f"capacity {capacity:.0f}/s\n")
    say(
        "| of capacity | offered /s | served /s | of the peak | p50 ms | p99 ms"
        " | refused | refusal p50 ms | lost | not sent | generator's lag p99 ms |"
    )
    say("|---|---|---|---|---|---|---|---|---|---|---|")
    peak = 0.0
    for factor in (0.5, 1, 2, 4):
        rate = factor * capacity
        outcome = uvloop.run(many(running, rate, seconds))
        peak = max(peak, outcome.goodput)
        say(
            f"| {factor} | {rate:.0f} | {outcome.goodput:.0f} | {outcome.goodput / peak:.2f}"
            f" | {percentile(outcome.served, 0.5):.0f} | {percentile(outcome.served, 0.99):.0f}"
            f" | {outcome.statuses[503]} | {percentile(outcome.refused, 0.5):.0f}"
            f" | {outcome.statuses[0]} | {outcome.statuses[-1]}"
            f" | {percentile(outcome.lags, 0.99):.0f} |"
        )
        assert set(outcome.statuses) <= {200, 503, 0, -1}, outcome.statuses
    say("")


def test_one_users_flood_leaves_the_others_alone(
    running: Running, capacity: float, seconds: float
) -> None:
    async def together() -> tuple[Outcome, Outcome]:
        flood = one(running, 2 * capacity, seconds)
        return await asyncio.gather(flood, many(running, 20, seconds))

    quiet = uvloop.run(many(running, 20, seconds))
    flood, others = uvloop.run(together())
    say("| | served | refused | lost | p50 ms | p99 ms | generator's lag p99 ms |")
    say("|---|---|---|---|---|---|---|")
    for name, outcome in (
        ("one user's flood", flood),
        ("the others, beside it", others),
        ("the others, by themselves", quiet),
    ):
        say(
            f"| {name} | {len(outcome.served)} | {outcome.statuses[503]} | {outcome.statuses[0]}"
            f" | {percentile(outcome.served, 0.5):.0f} | {percentile(outcome.served, 0.99):.0f}"
            f" | {percentile(outcome.lags, 0.99):.0f} |"
        )
    say("")
    assert others.statuses[503] == 0, others.statuses
