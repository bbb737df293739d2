"""Liveness and readiness probes: outside /api, without a token and without user data."""

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from tasks_backend.auth.key_set import KeySet
from tasks_backend.db.database import Database
from tasks_backend.errors import DatabaseUnavailable
from tasks_backend.openapi import Tag, json_response, problems

READY_TIMEOUT = 2.0  # seconds; a slower answer counts as a failure

router = APIRouter(tags=[Tag("health", "Whether the service lives and can work.")])


class Live(BaseModel):
    """The process answers."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    status: Literal["alive"] = Field("alive", description="It lives.", examples=["alive"])


class Ready(BaseModel):
    """The service can do its work."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    status: Literal["ready"] = Field("ready", description="It can work.", examples=["ready"])
    keys: bool = Field(
        description="Whether verification keys are known. The first request that needs one asks.",
        examples=[True],
    )


@router.get(
    "/livez",
    operation_id="livez",
    summary="Is the process alive?",
    responses={200: json_response("It is.", {"Alive": {"status": "alive"}})},
)
async def livez() -> Live:
    """Answer; nothing else is looked at."""
    return Live()


@router.get(
    "/readyz",
    operation_id="readyz",
    summary="Can the service work?",
    responses={
        200: json_response("It can.", {"Ready": {"status": "ready", "keys": True}}),
        **problems(DatabaseUnavailable),
    },
)
async def readyz(request: Request) -> Ready:
    """Ask the database whether a caller's message works: the schema's revision, the role's rights,
    and row-level security.

    While nobody uses the service, the last answer is repeated, so that a database that scales to
    zero may sleep.
    """
    database: Database = request.app.state.database
    key_set: KeySet = request.app.state.key_set
    await database.readiness.check(timeout=READY_TIMEOUT)
    return Ready(keys=key_set.has_keys)
