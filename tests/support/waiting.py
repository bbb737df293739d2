"""Waiting for a condition, on a machine that may be busy."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable

import httpx2

from tasks_backend.testing.waiting import PATIENCE


async def soon(condition: Callable[[], bool]) -> None:
    """Return once the condition holds, while the event loop runs."""
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, f"waited {PATIENCE} s"
        await asyncio.sleep(0.005)


def answers(url: str) -> bool:
    """Whether a service answers a GET with 200."""
    with contextlib.suppress(httpx2.TransportError):
        return httpx2.get(url, timeout=5).status_code == 200
    return False


def listens(port: int) -> bool:
    """Whether a program on loopback accepts connections."""
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return True
    return False
