"""One server, running the service until the block ends."""

import contextlib
import json
import socket
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from support.commands import environment, free_port
from support.programs import LOG, Program

from servers.connection import TIMEOUT, Http1, Http2
from servers.kinds import Kind


@dataclass(frozen=True)
class Running:
    """A server and its address: a Unix socket, or a port of IPv4 or IPv6."""

    kind: Kind
    program: Program
    address: str | tuple[str, int]

    def client(self, **headers: str) -> httpx2.Client:
        """Return a client; its paths begin below the prefix."""
        options: dict[str, Any] = {"headers": headers, "timeout": TIMEOUT}
        if isinstance(self.address, str):
            options["transport"] = httpx2.HTTPTransport(uds=self.address)
        elif self.kind.http2:
            options |= {"http1": False, "http2": True}
        return httpx2.Client(base_url=f"http://{self._authority}{self.kind.prefix}", **options)

    def connect(self) -> Http1:
        """Return a new connection."""
        if isinstance(self.address, str):
            opened = socket.socket(socket.AF_UNIX)
            opened.settimeout(TIMEOUT)
            try:
                opened.connect(self.address)
            except OSError:
                opened.close()
                raise
        else:
            opened = socket.create_connection(self.address, timeout=TIMEOUT)
        return (Http2 if self.kind.http2 else Http1)(opened)

    def accepts(self) -> bool:
        """Whether it accepts connections."""
        try:
            self.connect().__exit__()
        except OSError:
            return False
        return True

    @property
    def output(self) -> str:
        """Everything that the server wrote so far."""
        return self.program.log.read_text(errors="replace")

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The lines of the service's log."""
        found = []
        for line in self.output.splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return found

    def requests(self, request_id: str) -> list[dict[str, Any]]:
        """The log's lines of a request."""
        return [line for line in self.lines if line.get("request_id") == request_id]

    @property
    def _authority(self) -> str:
        if isinstance(self.address, str):
            return "x"
        host, port = self.address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextlib.contextmanager
def served_by(kind: Kind, home: Path, variables: Mapping[str, str]) -> Iterator[Running]:
    """Run a server until the block ends."""
    for name, text in kind.files.items():
        (home / name).write_text(text)
    with tempfile.TemporaryDirectory(prefix="tasks-") as directory:  # a socket's path is short
        yield from _run(kind, home, variables, f"{directory}/api.sock")


def _run(kind: Kind, home: Path, variables: Mapping[str, str], path: str) -> Iterator[Running]:
    port = free_port()
    is_socket = "{socket}" in kind.command
    host = "::1" if "::1" in kind.command else "127.0.0.1"
    program = Program(
        kind.arguments({"port": port, "socket": path}),
        home / LOG,
        environment(home, **{"LOG_FORMAT": "json", **variables}),
    )
    server = Running(kind, program, path if is_socket else (host, port))

    def is_ready() -> bool:
        with contextlib.suppress(httpx2.TransportError), server.client() as client:
            return server.accepts() and client.get("/livez").status_code == 200
        return False

    program.start()
    try:
        program.wait_for(is_ready, f"{kind.name} to be ready")
        yield server
    finally:
        program.stop()
