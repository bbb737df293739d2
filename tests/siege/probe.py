"""The session's plugin: reports on its process, and has a streaming response."""

import asyncio
import os
from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from tasks_backend import Plugin

PIECE = b"x" * 65_536
PIECES = 1024

router = APIRouter()


@router.get("/siege", include_in_schema=False)
async def process() -> dict[str, int]:
    """Return the worker's process id and the number of tasks of its event loop."""
    return {"pid": os.getpid(), "tasks": len(asyncio.all_tasks())}


@router.get("/siege/stream", include_in_schema=False)
async def stream() -> StreamingResponse:
    """Answer with 64 MiB, piece by piece."""
    return StreamingResponse(_pieces(), media_type="application/octet-stream")


async def _pieces() -> AsyncIterator[bytes]:
    for _ in range(PIECES):
        yield PIECE


plugin = Plugin(name="siege", operations=router)
