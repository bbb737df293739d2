"""Addresses without a database, and host names with the addresses that a test chooses."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

import pytest

from tasks_backend.testing.background import Background


@contextlib.contextmanager
def black_hole(host: str = "127.0.0.1") -> Iterator[int]:
    """A port without answers: the kernel drops each SYN because the accept queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((host, 0), backlog=0))
        port = listener.getsockname()[1]
        stack.enter_context(socket.create_connection((host, port), timeout=20))
        with pytest.raises(TimeoutError):
            socket.create_connection((host, port), timeout=0.1)
        yield port


@contextlib.contextmanager
def silent_server() -> Iterator[int]:
    """A port that accepts connections and never sends a byte."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener.getsockname()[1]


class Refusing(Background):
    """Answers each start-up message with one error, like a server, and closes."""

    def __init__(
        self, state: str, words: bytes, *, severity: bytes = b"FATAL", function: str = "auth_failed"
    ) -> None:
        fields = (b"S" + severity, b"VFATAL", b"C" + state.encode(), b"M" + words)
        body = b"\0".join([*fields, b"Fauth.c", b"L326", f"R{function}".encode()]) + b"\0\0"
        self._error = b"E" + (len(body) + 4).to_bytes(4) + body
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.attempts = 0
        port = self._listener.getsockname()[1]
        self.url = f"postgresql://somebody@127.0.0.1:{port}/tasks?sslmode=disable"

    def serve(self) -> None:
        with contextlib.suppress(OSError):  # it is closed
            while True:
                client, _ = self._listener.accept()
                self.attempts += 1
                Thread(target=self._refuse, args=(client,), daemon=True).start()

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _refuse(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.settimeout(20)
            client.recv(65536)
            client.sendall(self._error)


Resolver = Callable[[str], list[str]]


def resolve_with(monkeypatch: pytest.MonkeyPatch, resolver: Resolver) -> None:
    """Resolve names that end in `.test` with the test's resolver."""
    true = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if not str(host).endswith(".test"):
            return true(host, port, *args, **options)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, int(port or 0)))
            for address in resolver(str(host))
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
