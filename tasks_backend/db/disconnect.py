"""What is done for a caller who has gone is given up."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from starlette.requests import ClientDisconnect

WATCH_AFTER = 1.0  # seconds; under overload a place in the line is worth half of one


@contextmanager
def cancel_on_disconnect(disconnected: Callable[[], Awaitable[None]] | None) -> Iterator[None]:
    """Cancel the block once the caller has hung up. Raises ClientDisconnect then.

    The caller is watched from `PATIENCE` on, so an ordinary request pays for a timer and no more.
    """
    task = asyncio.current_task()
    if disconnected is None or task is None:
        yield
        return
    gone = False
    watcher: asyncio.Task[None] | None = None

    async def watch() -> None:
        nonlocal gone
        await disconnected()
        gone = True
        task.cancel()

    def start() -> None:
        nonlocal watcher
        watcher = asyncio.get_running_loop().create_task(watch())

    timer = asyncio.get_running_loop().call_later(WATCH_AFTER, start)
    try:
        yield
    except asyncio.CancelledError:
        if not gone:
            raise
        task.uncancel()
        raise ClientDisconnect from None
    finally:
        timer.cancel()
        if watcher is not None:
            watcher.cancel()
