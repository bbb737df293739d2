"""An audit trail: whoever asks sees what happened to their own tasks, newest first."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, FastAPI, Query
from pydantic import BaseModel
from sqlalchemy import text

from tasks_backend import OwnRows, Plugin, statement

LIST = text("""
    SELECT id, at, action, task_id, version FROM tasks_backend_audit.entries
    WHERE user_id = :user_id AND id < :cursor ORDER BY id DESC LIMIT :limit
""")
ENTRIES = statement(LIST, idempotent=True)
NEWEST = UUID(int=2**128 - 1)
logger = logging.getLogger("tasks_backend.audit")
router = APIRouter(tags=["audit"])


class Entry(BaseModel):
    id: UUID
    at: datetime
    action: str
    task_id: UUID
    version: int


class Page(BaseModel):
    items: list[Entry]
    next_cursor: UUID | None


@router.get("")
async def list_entries(
    own: OwnRows, limit: Annotated[int, Query(ge=1, le=100)] = 50, cursor: UUID = NEWEST
) -> Page:
    rows = await own.run(ENTRIES, cursor=str(cursor), limit=limit + 1)
    items = [Entry(**dict(zip(Entry.model_fields, row, strict=True))) for row in rows[:limit]]
    return Page(items=items, next_cursor=items[-1].id if len(rows) > limit else None)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    logger.info("the audit trail can be read")
    yield
    logger.info("the audit trail can no longer be read")


MIGRATIONS = Path(__file__).with_name("migrations")
plugin = Plugin("audit", {"v1": router}, lifespan=lifespan, migrations=MIGRATIONS)
