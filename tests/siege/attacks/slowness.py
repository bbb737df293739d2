"""Connections with little or no traffic, or with an endless body."""

import asyncio
import random

from siege.line import Line, request
from siege.target import TASKS, Target

MOST = 16 * 1024 * 1024  # bytes of an unread body: more than two kernels buffer
PIECE = b"x" * 65_536
PAUSE = 0.01  # seconds between two pieces
DRIP = 0.5  # seconds between two bytes
LIVEZ = request("GET", "/livez")
JSON = "Content-Type: application/json"


async def silence(line: Line, target: Target) -> None:
    """A9: nothing at all."""
    await line.hang()


async def half_head(line: Line, target: Target) -> None:
    """A9: a head without an end."""
    await line.send(LIVEZ[:-2])
    await line.hang()


async def one_byte_more(line: Line, target: Target) -> None:
    """A9: a whole request, and one byte of the next."""
    await line.send(LIVEZ, requests=1)
    await line.answer()
    await line.send(b"G")
    await line.hang()


async def refused_and_unfinished(line: Line, target: Target) -> None:
    """A9: a body that stops after its request was refused."""
    head = request("POST", TASKS, JSON, "Content-Length: 1000", token="nobody")
    await line.send(head + b'{"title":', requests=1)
    await line.answer()
    await line.hang()


async def refused_and_endless(line: Line, target: Target) -> None:
    """A9: a body that does not end after its request was refused."""
    head = request("POST", TASKS, JSON, f"Content-Length: {2**33}", token="nobody")
    await line.send(head, requests=1)
    await line.answer()
    while line.sent < MOST:
        await line.send(PIECE)
        await asyncio.sleep(PAUSE)
    line.breach("the body of a refused request was read on")


async def slow_head(line: Line, target: Target) -> None:
    """A head sent byte by byte."""
    await _drip(line, request("GET", TASKS, token=target.tokens["dawdler"]))


async def slow_body(line: Line, target: Target) -> None:
    """A body sent byte by byte."""
    head = request("POST", TASKS, JSON, "Content-Length: 2000", token=target.tokens["dawdler"])
    await line.send(head, requests=1)
    await _drip(line, b" " * 2000)


async def reset(line: Line, target: Target) -> None:
    """A connection that is reset at a random moment of a request."""
    whole = request("POST", TASKS, JSON, "Content-Length: 13", token=target.tokens["leaver"])
    whole += b'{"title":"x"}'
    line.reset_on_close()
    await line.send(whole[: random.randint(1, len(whole))], requests=1)
    await asyncio.sleep(random.uniform(0, 0.01))


async def _drip(line: Line, data: bytes) -> None:
    for byte in data:
        await line.send(bytes([byte]))
        await asyncio.sleep(DRIP)
