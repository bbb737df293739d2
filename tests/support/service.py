"""An application's inner state, and connections to a service for bytes that no HTTP client sends."""

import contextlib
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from fastapi import FastAPI

from support.answers import first_answer
from tasks_backend.testing.waiting import until


def at_rest(app: FastAPI) -> None:
    """Return once an application holds no places, connections or queued requests any more."""

    def held() -> dict[str, int]:
        limiter, pool = app.state.bounds.limiter, app.state.database.pool
        return {
            "places": limiter.limit - limiter.left,
            "senders": limiter.senders,
            "bodies": app.state.bounds.bodies.waiting,
            "turns": pool.semaphore.held,
            "waiting for a turn": pool.semaphore.waiting,
            "waiting for a key": app.state.key_set.waiting,
        }

    until(lambda: not any(held().values()))


@contextlib.contextmanager
def overloaded(app: FastAPI) -> Iterator[None]:
    """In the block, no place is free."""
    limiter = app.state.bounds.limiter
    limiter.left, left = 0, limiter.left
    try:
        yield
    finally:
        limiter.left = left


def connected(url: str) -> socket.socket:
    """A TCP connection to a service, for bytes that no HTTP client sends."""
    address = urlsplit(url)
    return socket.create_connection((address.hostname or "", address.port or 0), timeout=20)


def one_answer(connection: socket.socket) -> bytes:
    """Read one response with its body, which may come in segments of its own."""
    received = b""
    while first_answer(received) is None:
        data = connection.recv(65536)
        assert data, f"the connection ended: {received!r}"
        received += data
    return received


def rest(connection: socket.socket) -> bytes:
    """Read everything until the service closes the connection."""
    received = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while data := connection.recv(1 << 20):
            received += data
    return bytes(received)
