"""Connection attempts to several addresses, started one after another; the first success wins."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol, TypeVar

from tasks_backend.db.failures import DatabaseFailure, Failure

STAGGER = 1.0  # seconds; enough for a server to answer, even for a suspended one


class _Closable(Protocol):
    def close(self) -> None: ...


A = TypeVar("A")
C = TypeVar("C", bound=_Closable)


async def first_success(
    connect: Callable[[A], Coroutine[Any, Any, C]], addresses: Iterable[A], *, timeout: float
) -> C:
    """Return the first connection that `connect` makes to one of the addresses.

    The next address is tried when the last attempt has failed, or after `STAGGER` seconds or an equal
    share of `timeout`, whichever is less. Attempts go on side by side. A server's refusal stops new
    ones. Raises DatabaseFailure, or TimeoutError after `timeout` seconds.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    untried = deque(addresses)
    stagger = min(STAGGER, timeout / len(untried))
    attempts: list[asyncio.Task[C]] = []
    running: set[asyncio.Task[C]] = set()
    failure: DatabaseFailure | None = None
    winner: C | None = None
    try:
        while (untried or running) and (remaining := deadline - loop.time()) > 0:
            if untried:
                attempts.append(loop.create_task(connect(untried.popleft())))
                running.add(attempts[-1])
            done, running = await asyncio.wait(
                running,
                timeout=min(remaining, stagger) if untried else remaining,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for attempt in done:
                try:
                    winner = attempt.result()
                except DatabaseFailure as error:
                    if failure is None or failure.failure is Failure.NOT_SENT:
                        failure = error
                else:
                    return winner
            if failure is not None and failure.failure is not Failure.NOT_SENT:
                untried.clear()
    finally:
        for attempt in attempts:
            attempt.cancel()
        for result in await asyncio.gather(*attempts, return_exceptions=True):
            if not isinstance(result, BaseException) and result is not winner:
                result.close()
    if failure is None or (running and failure.failure is Failure.NOT_SENT):
        raise TimeoutError
    raise failure
