"""Several addresses, some of which may not answer: each has its turn, the first success counts."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol, TypeVar

from tasks_backend.db.failures import DatabaseFailure, Failure

STAGGER = 1.0  # seconds, in which a server answers, also one that had to be woken


class _Closable(Protocol):
    def close(self) -> None: ...


A = TypeVar("A")
C = TypeVar("C", bound=_Closable)


async def first_success(
    connect: Callable[[A], Coroutine[Any, Any, C]], addresses: Iterable[A], *, timeout: float
) -> C:
    """Return the first connection that `connect` makes to one of the addresses.

    An address is tried when the one before it has failed, or has not answered for `STAGGER` seconds
    or its share of the time; the one before it may still succeed. No further address is tried after
    a server refused. Raises DatabaseFailure, or TimeoutError after `timeout` seconds.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + timeout
    waiting = deque(addresses)
    stagger = min(STAGGER, timeout / len(waiting))
    attempts: list[asyncio.Task[C]] = []
    running: set[asyncio.Task[C]] = set()
    failure: DatabaseFailure | None = None
    winner: C | None = None
    try:
        while (waiting or running) and (left := until - loop.time()) > 0:
            if waiting:
                attempts.append(loop.create_task(connect(waiting.popleft())))
                running.add(attempts[-1])
            done, running = await asyncio.wait(
                running,
                timeout=min(left, stagger) if waiting else left,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for attempt in done:
                try:
                    winner = attempt.result()
                except DatabaseFailure as failed:
                    if failure is None or failure.failure is Failure.NOT_SENT:
                        failure = failed
                else:
                    return winner
            if failure is not None and failure.failure is not Failure.NOT_SENT:
                waiting.clear()
    finally:
        for attempt in attempts:
            attempt.cancel()
        for result in await asyncio.gather(*attempts, return_exceptions=True):
            if not isinstance(result, BaseException) and result is not winner:
                result.close()
    if failure is None or (running and failure.failure is Failure.NOT_SENT):
        raise TimeoutError
    raise failure
