"""Requests with a misleading end."""

import asyncio
import random

from siege.line import Line, request
from siege.target import TASKS, Target

PAUSE = 0.02  # seconds between two segments
HIDDEN = request("GET", "/livez", "X-Request-Id: hidden")
LAST = request("GET", "/livez", "X-Request-Id: last")
OFFERS = (
    ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
    ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAA"),
    ("Connection: keep-alive, upgrade", "Upgrade: x"),
    ("Upgrade: TLS/1.0", "Connection: Upgrade"),
)


async def hide_a_request(line: Line, target: Target) -> None:
    """A1: a body that is a request, after an offer to upgrade."""
    method = random.choice(("POST", "PUT", "PATCH", "GET", "DELETE"))
    chunked = random.random() < 0.5
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(HIDDEN)}"
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN) if chunked else HIDDEN
    headers = (*random.choice(OFFERS), length, "Content-Type: application/json")
    token = target.tokens["smuggler"]
    await line.send(request(method, TASKS, *headers, token=token), requests=1)
    await asyncio.sleep(PAUSE)
    await line.send(body + LAST, requests=1)
    if b"x-request-id: hidden" in await line.until("last", "hidden"):
        line.breach("a body was read as a request")


async def head_while_busy(line: Line, target: Target) -> None:
    """A10: a refused HEAD, then another request."""
    await line.send(request("HEAD", TASKS, token=target.tokens["crowd"]) + LAST, requests=2)
    _, _, behind = (await line.until("last")).partition(b"\r\n\r\n")
    if behind and not behind.startswith(b"http/1.1 "):
        line.breach("HEAD was answered with a body")


async def late_body(line: Line, target: Target) -> None:
    """A11: a refused POST with its body in a separate segment."""
    headers = ("Content-Type: application/json", "Content-Length: 13")
    await line.send(request("POST", TASKS, *headers, token=target.tokens["crowd"]), requests=1)
    await asyncio.sleep(PAUSE)
    await line.send(b'{"title":"x"}')
    await line.answer()
    await line.hang()


async def half_close(line: Line, target: Target) -> None:
    """A15: the client closes its sending half after the request, which is allowed."""
    await line.send(request("GET", TASKS, token=target.tokens["leaver"]), requests=1)
    line.half_close()
    await line.answer()
