"""Answers of HTTP/1.1 as bytes, for clients that are no HTTP client."""

from dataclasses import dataclass

import httpx2

BODYLESS = {204, 304}


@dataclass(frozen=True)
class Answer:
    """One answer, its body without the transfer coding."""

    status: int
    headers: httpx2.Headers
    body: bytes

    @property
    def request_id(self) -> str:
        return self.headers.get("x-request-id", "")

    @property
    def closes(self) -> bool:
        return self.headers.get("connection", "").lower() == "close"


def first_answer(
    received: bytes | bytearray, method: str = "GET", *, ended: bool = False
) -> tuple[Answer, int] | None:
    """Return the first final answer, to a request with this method, and the position of its end;
    None if it is not complete. Raises ValueError if it is no answer.
    """
    status = at = 0
    while status < 200 and status != 101:
        if (end := received.find(b"\r\n\r\n", at)) < 0:
            return None
        first, *lines = received[at:end].decode("latin-1").split("\r\n")
        status, at = int(first.partition(" ")[2][:3]), end + 4
    fields = (line.partition(":") for line in lines)
    headers = httpx2.Headers([(name, value.strip()) for name, _, value in fields])
    if method == "HEAD" or status in BODYLESS:
        return Answer(status, headers, b""), at
    if "chunked" in headers.get("transfer-encoding", ""):
        body = b""
        while True:
            if (end := received.find(b"\r\n", at)) < 0:
                return None
            size, at = int(received[at:end].split(b";")[0], 16), end + 2
            if len(received) < at + size + 2:
                return None
            body, at = body + received[at : at + size], at + size + 2
            if not size:
                return Answer(status, headers, body), at
    if (length := headers.get("content-length")) is None and not ended:
        return None
    end = len(received) if length is None else at + int(length)
    return (Answer(status, headers, bytes(received[at:end])), end) if end <= len(received) else None
