"""Clients that request much and read nothing."""

import asyncio

from siege.line import Line, request
from siege.target import TASKS, Target

MOST = 16 * 1024 * 1024  # bytes: more than two kernels buffer
BATCH = 60  # requests per batch
PAUSE = 0.02  # seconds between two batches


async def unread_page(line: Line, target: Target) -> None:
    """A6: a page of a hundred tasks with the longest descriptions."""
    await line.send(request("GET", f"{TASKS}?limit=100", token=target.tokens["hoarder"]), 1)
    await line.hang_unless_refused()


async def unread_stream(line: Line, target: Target) -> None:
    """A7: a streaming response of a plugin."""
    await line.send(request("GET", "/siege/stream"), requests=1)
    await line.hang()


async def unread_refusals(line: Line, target: Target) -> None:
    """A8: pipelined requests of a refused sender."""
    batch = request("GET", TASKS, token=target.tokens["crowd"]) * BATCH
    while line.sent < MOST:
        await line.send(batch, requests=BATCH)
        await asyncio.sleep(PAUSE)
    line.breach("requests were taken from a client that reads no answer")
