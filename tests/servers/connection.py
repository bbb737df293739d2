"""One connection to a server, on which a test chooses each byte or frame."""

import contextlib
import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any, Self

import h2.config
import h2.connection
import h2.events
import httpx2
from support.answers import Answer, first_answer

Headers = Mapping[str, str]
TIMEOUT = 30  # seconds
HEAD, GOAWAY = 9, 7  # bytes of a frame's head, and a type of frame (RFC 9113, 4.1 and 6.8)


class Closed(Exception):
    """The server closed the connection before a whole answer came."""


class Http1:
    """HTTP/1.1. A request may be sent without its whole body."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, method: str, target: str, headers: Headers, body: bytes = b"") -> None:
        """Send a head and a part of the body; `headers` say how long it is."""
        lines = [f"{method} {target} HTTP/1.1", "Host: x"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode() + body)

    def send_more(self, body: bytes) -> None:
        with contextlib.suppress(OSError):  # the server may have closed the connection
            self._socket.sendall(body)

    def answer(self, method: str = "GET") -> Answer:
        """Return the next answer. Raises Closed."""
        while (found := first_answer(self._received, method)) is None:
            try:
                data = self._socket.recv(65536)
            except ConnectionError:
                data = b""
            if not data:
                raise Closed(self._received)
            self._received += data
        answer, end = found
        self._received = self._received[end:]
        return answer

    def ends(self) -> bool:
        """Whether the server sends nothing more and closes the connection."""
        with contextlib.suppress(ConnectionError):
            while data := self._socket.recv(65536):
                self._received += data
        return not self._received


class Http2(Http1):
    """HTTP/2 with prior knowledge, one stream at a time."""

    def __init__(self, opened: socket.socket) -> None:
        super().__init__(opened)
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._h2.initiate_connection()
        self._stream = 0
        self._flush()

    def send(self, method: str, target: str, headers: Headers, body: bytes = b"") -> None:
        self._stream = self._h2.get_next_available_stream_id()
        pseudo = {":method": method, ":scheme": "http", ":authority": "x", ":path": target}
        fields = {name.lower(): value for name, value in headers.items()}
        length = int(fields.get("content-length", 0))
        self._h2.send_headers(
            self._stream, [*pseudo.items(), *fields.items()], end_stream=not length
        )
        if body:
            self._h2.send_data(self._stream, body, end_stream=len(body) == length)
        self._flush()

    def answer(self, method: str = "GET") -> Answer:
        status, headers, body = 0, list[tuple[str, str]](), b""
        for event in self._events():
            if isinstance(event, h2.events.ResponseReceived):
                headers = [(str(name), str(value)) for name, value in event.headers]
                status = int(headers.pop(0)[1])  # ":status"
            elif isinstance(event, h2.events.DataReceived):
                body += event.data
                self._h2.acknowledge_received_data(event.flow_controlled_length, self._stream)
            elif isinstance(event, h2.events.StreamEnded):
                break
            elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                raise Closed(event)
        return Answer(status, httpx2.Headers(headers), body)

    def _events(self) -> Iterator[Any]:
        while True:
            try:
                data = self._socket.recv(65536)
            except ConnectionError:
                data = b""
            if not data:
                raise Closed
            self._received += data
            for event in self._h2.receive_data(self._whole_frames()):
                if getattr(event, "stream_id", self._stream) in {0, self._stream, None}:
                    yield event
            self._flush()

    def _whole_frames(self) -> bytes:
        """Take the complete frames from what was received, without GOAWAY: after one, h2 reads no
        more, though the streams that were open are still answered (RFC 9113, 6.8).
        """
        taken = b""
        while len(self._received) >= HEAD:
            end = HEAD + int.from_bytes(self._received[:3])
            if len(self._received) < end:
                break
            if self._received[3] != GOAWAY:
                taken += self._received[:end]
            self._received = self._received[end:]
        return taken

    def _flush(self) -> None:
        self._socket.sendall(self._h2.data_to_send())


def body_of(fields: Mapping[str, object]) -> tuple[dict[str, str], bytes]:
    """Return the headers and the bytes of a JSON body."""
    body = json.dumps(fields).encode()
    return {"Content-Type": "application/json", "Content-Length": str(len(body))}, body
