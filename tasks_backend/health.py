"""Whether the process lives and whether it can work: no token, no data, outside /api."""

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel

from tasks_backend.auth.key_set import KeySet
from tasks_backend.db.database import Database
from tasks_backend.db.statements import EXPECTED_REVISION
from tasks_backend.errors import DatabaseUnavailable
from tasks_backend.openapi import problems

READY_TIMEOUT = 2.0  # seconds; a probe that waits longer is as good as a failed one

router = APIRouter(tags=["health"])


class Live(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    """The service can do its work."""

    status: Literal["ready"] = "ready"
    keys: bool
    """Whether verification keys are known. None are needed before the first request asks."""


@router.get("/livez", operation_id="livez", summary="Is the process alive?")
async def livez() -> Live:
    """Answer; nothing else is looked at."""
    return Live()


@router.get(
    "/readyz",
    operation_id="readyz",
    summary="Can the service work?",
    responses=problems(DatabaseUnavailable),
)
async def readyz(request: Request) -> Ready:
    """Ask the database for its schema's revision, which must be the one that this code knows."""
    database: Database = request.app.state.database
    key_set: KeySet = request.app.state.key_set
    if await database.revision(timeout=READY_TIMEOUT) != EXPECTED_REVISION:
        raise DatabaseUnavailable
    return Ready(keys=key_set.has_keys)
