"""A plugin of the session's own: it tells of its process, and has an answer in many pieces."""

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
    """Say which worker this is, and how many tasks its event loop has."""
    return {"pid": os.getpid(), "tasks": len(asyncio.all_tasks())}


@router.get("/siege/stream", include_in_schema=False)
async def stream() -> StreamingResponse:
    """Answer with 64 MiB, piece by piece."""
    return StreamingResponse(_pieces(), media_type="application/octet-stream")


async def _pieces() -> AsyncIterator[bytes]:
    for _ in range(PIECES):
        yield PIECE


plugin = Plugin(name="siege", operations=router)
