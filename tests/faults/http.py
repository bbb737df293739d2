"""A small HTTP/1.1 client: one connection, one request at a time, distinct failures."""

import asyncio
import contextlib
import time
from dataclasses import dataclass

import orjson


class Refused(Exception):
    """No connection: nothing was sent."""


class Lost(Exception):
    """The connection ended before the answer was complete."""


class Silent(Exception):
    """No answer came within the client's timeout."""


@dataclass(frozen=True, slots=True)
class Answer:
    sent_at: float
    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """Keeps its connection while the server does."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._common = f"Host: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.sent_at = 0.0

    async def ask(
        self, method: str, path: str, headers: dict[str, str], body: object, *, patience: float
    ) -> Answer:
        """Send one request and return its answer. Raises Refused, Lost or Silent."""
        self.sent_at = time.monotonic()
        reader, writer = await self._open()
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        content = b"" if body is None else orjson.dumps(body)
        if content:
            lines += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        self.sent_at = time.monotonic()
        keep = False
        try:
            async with asyncio.timeout(patience):
                writer.write(
                    f"{method} {path} HTTP/1.1\r\n{self._common}{lines}\r\n".encode() + content
                )
                answer = await self._read(reader)
                keep = answer.headers.get("connection") != "close"
        except TimeoutError:
            raise Silent from None
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Lost(type(error).__name__) from None
        finally:
            if not keep:
                await self.close()
        return answer

    async def close(self) -> None:
        if self._streams is not None:
            _, writer = self._streams
            self._streams = None
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is not None:
            reader, writer = self._streams
            if not reader.at_eof() and not writer.is_closing() and reader.exception() is None:
                return self._streams
            await self.close()
        try:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            raise Refused from None
        return self._streams

    async def _read(self, reader: asyncio.StreamReader) -> Answer:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = (line.split(": ", 1) for line in head[1:-2])
        headers = {name.lower(): value for name, value in fields}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return Answer(self.sent_at, int(head[0].split(" ", 2)[1]), headers, body)
