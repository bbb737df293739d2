"""Cancel database work when the client disconnects."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from starlette.requests import ClientDisconnect

from tasks_backend.http.request_record import get_record

WATCH_AFTER = 1.0  # seconds; under overload, requests wait up to 0.5 s


@contextmanager
def cancel_on_disconnect(disconnected: Callable[[], Awaitable[None]] | None) -> Iterator[None]:
    """Cancel the block when the client disconnects, and raise ClientDisconnect.

    Watching starts after `WATCH_AFTER`, so that a normal request costs only a timer.
    """
    task = asyncio.current_task()
    if disconnected is None or task is None:
        yield
        return
    client_left = False
    watcher: asyncio.Task[None] | None = None

    async def watch() -> None:
        nonlocal client_left
        await disconnected()
        record = get_record()
        if record is not None and record.status is not None:
            return  # the response has begun: a background task goes on without the client
        client_left = True
        task.cancel()

    def start() -> None:
        nonlocal watcher
        watcher = asyncio.get_running_loop().create_task(watch())

    timer = asyncio.get_running_loop().call_later(WATCH_AFTER, start)
    try:
        yield
    except asyncio.CancelledError:
        if not client_left:
            raise
        task.uncancel()
        raise ClientDisconnect from None
    finally:
        timer.cancel()
        if watcher is not None:
            watcher.cancel()
