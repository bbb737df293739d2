"""A document of preferences for each user: GET and PUT with an entity tag."""

from pathlib import Path
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request, Response
from pydantic import JsonValue, RootModel
from sqlalchemy import text

from tasks_backend import OwnRows, Plugin, statement
from tasks_backend.resources import IfMatch, JsonBody, body, etag, json_body

GET = statement(
    text("""
        SELECT document, version FROM tasks_backend_preferences.documents WHERE user_id = :user_id
    """),
    idempotent=True,
)
PUT = statement(
    text("""
        INSERT INTO tasks_backend_preferences.documents AS d (user_id, document)
        SELECT :user_id, CAST(:document AS jsonb) WHERE :any_version OR EXISTS (
            SELECT FROM tasks_backend_preferences.documents WHERE user_id = :user_id
        )
        ON CONFLICT (user_id) DO UPDATE SET document = excluded.document, version = d.version + 1
        WHERE :any_version OR d.version = ANY (:versions)
        RETURNING document, version
    """),
    idempotent=False,
)


class Preferences(RootModel[dict[str, JsonValue]]):
    """Any JSON object."""


router = APIRouter(tags=["preferences"])
Json = Annotated[JsonBody, Depends(json_body("application/json"))]
BODY: Any = {"requestBody": body(Preferences, "application/json")}


@router.get("")
async def get_preferences(own: OwnRows, response: Response) -> Preferences:
    for document, version in await own.run(GET):
        response.headers["ETag"] = etag(version)
        return Preferences(document)
    return Preferences({})


@router.put("", openapi_extra=BODY)
async def put_preferences(
    sent: Json, own: OwnRows, request: Request, response: Response
) -> Preferences:
    document = orjson.dumps(sent.parse(Preferences).root).decode()
    condition = IfMatch.of(request)
    rows = await own.run(PUT, document=document, **condition.parameters)
    if not rows:
        raise condition.refusal(0)
    response.headers["ETag"] = etag(rows[0][1])
    return Preferences(rows[0][0])


MIGRATIONS = Path(__file__).with_name("migrations")
plugin = Plugin("preferences", {"v1": router}, migrations=MIGRATIONS)
