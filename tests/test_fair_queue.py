"""The queue for connections: users take turns, cancelled waiters are skipped."""

import asyncio
import random

import pytest

from tasks_backend.db.fair_queue import FairSemaphore
from tasks_backend.errors import Overloaded

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def served_in_order(turns: FairSemaphore, arrivals: str) -> str:
    """The order in which users (one letter each) get the only place, which is taken at first."""
    order: list[str] = []

    async def stand(user: str) -> None:
        await turns.acquire(user)
        order.append(user)
        turns.release(user)

    await turns.acquire("first")
    line = [asyncio.create_task(stand(user)) for user in arrivals]
    await asyncio.sleep(0)
    assert turns.waiting == len(arrivals)
    turns.release("first")
    await asyncio.gather(*line)
    assert (turns.held, turns.waiting) == (0, 0)
    return "".join(order)


@pytest.mark.parametrize(
    ("arrivals", "order"),
    [
        ("aaaab", "abaaa"),
        ("aabbcc", "abcabc"),
        ("abc", "abc"),
        ("aaa", "aaa"),
        ("aaabaac", "abcaaaa"),
    ],
)
async def test_a_crowd_delays_another_user_by_one_turn(arrivals: str, order: str) -> None:
    assert await served_in_order(FairSemaphore(1, wait=20), arrivals) == order


async def test_slow_requests_of_one_user_hold_at_most_half_of_the_slots() -> None:
    turns = FairSemaphore(16, wait=20)
    line = []
    for user, expected in (("a", 8), ("b", 4), ("c", 2), ("d", 1)):
        before = turns.held
        line += [asyncio.create_task(turns.acquire(user)) for _ in range(20)]
        await asyncio.sleep(0)
        assert turns.held - before == expected
    await turns.acquire("e")
    turns.release("a")  # b, c and d hold as many as are free, or more
    assert (turns.held, turns.waiting) == (15, 65)
    turns.release("e")
    await asyncio.sleep(0)
    assert (turns.held, turns.waiting) == (15, 64)  # d holds two
    for task in line:
        task.cancel()
    await asyncio.gather(*line, return_exceptions=True)


async def test_a_cancelled_waiter_is_skipped_and_no_slot_is_lost() -> None:
    turns = FairSemaphore(1, wait=20)
    await turns.acquire("first")
    leaving = [asyncio.create_task(turns.acquire("a")) for _ in range(3)]
    staying = asyncio.create_task(turns.acquire("b"))
    await asyncio.sleep(0)
    for task in leaving:
        task.cancel()
    await asyncio.gather(*leaving, return_exceptions=True)
    assert turns.waiting == 1
    turns.release("first")
    await staying
    turns.release("b")
    assert turns.held == 0


async def test_a_slot_granted_to_a_cancelled_waiter_goes_to_the_next() -> None:
    turns = FairSemaphore(1, wait=20)
    await turns.acquire("first")
    leaving, staying = (asyncio.create_task(turns.acquire(user)) for user in "ab")
    await asyncio.sleep(0)
    turns.release("first")
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await staying
    assert turns.held == 1


async def test_a_too_long_wait_is_an_overload() -> None:
    turns = FairSemaphore(1, wait=0.01)
    await turns.acquire("first")
    with pytest.raises(Overloaded):
        await turns.acquire("a")
    turns.release("first")
    assert (turns.held, turns.waiting) == (0, 0)


async def test_the_number_of_slots_never_changes() -> None:
    turns = FairSemaphore(3, wait=20)
    chance = random.Random(7)
    most = 0

    async def live(user: str) -> None:
        nonlocal most
        await turns.acquire(user)
        try:
            most = max(most, turns.held)
            await asyncio.sleep(chance.random() / 500)
        finally:
            turns.release(user)

    people = [asyncio.create_task(live(chance.choice("abcd"))) for _ in range(300)]
    for person in chance.sample(people, 100):
        await asyncio.sleep(0)
        person.cancel()
    await asyncio.gather(*people, return_exceptions=True)
    assert (most, turns.held, turns.waiting) == (3, 0, 0)
