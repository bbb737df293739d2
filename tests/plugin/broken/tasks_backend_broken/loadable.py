"""Plugins that can be loaded but not used."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import APIRouter, FastAPI, WebSocket
from starlette.responses import PlainTextResponse
from starlette.routing import Mount

from tasks_backend import Plugin

router = APIRouter()
sockets = APIRouter()


@router.get("")
async def answer() -> str:
    return "broken"


@sockets.websocket("/live")
async def live(socket: WebSocket) -> None:
    await socket.accept()


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    raise RuntimeError("no disk\nno network")
    yield


HERE = Path(__file__).parent
failing_migration = Plugin("failing-migration", {"v1": router}, migrations=HERE / "failing")
missing_migrations = Plugin("missing-migrations", {"v1": router}, migrations=HERE / "missing")
mount = Plugin("mount", {"v1": APIRouter(routes=[Mount("/all", PlainTextResponse("open"))])})
raising_lifespan = Plugin("raising-lifespan", {"v1": router}, lifespan=lifespan)
socket = Plugin("socket", {"v1": sockets})
tasks = Plugin("tasks", {"v1": router})
