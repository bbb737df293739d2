"""Litestar with asyncpg: handwritten SQL, msgspec in and out, authentication middleware.

With PROMISES, it also keeps the promises of promises.py.
"""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any

import asyncpg
import jwt
import msgspec
import promises
from litestar import Litestar, Request, delete, get, patch, post
from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException, NotFoundException
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult
from litestar.params import Parameter

keys = jwt.PyJWKClient(os.environ["JWKS_URL"])
COLUMNS = "id, user_id, title, description, completed, created_at, updated_at"
Title = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Description = Annotated[str, msgspec.Meta(max_length=10_000)]


class TaskCreate(msgspec.Struct):
    title: Title
    description: Description | None = None
    completed: bool = False


class TaskUpdate(msgspec.Struct):
    title: Title | msgspec.UnsetType = msgspec.UNSET
    description: Description | msgspec.UnsetType | None = msgspec.UNSET
    completed: bool | msgspec.UnsetType = msgspec.UNSET


class Task(msgspec.Struct):  # the fields of COLUMNS, in that order
    id: uuid.UUID
    user_id: str
    title: str
    description: str | None
    completed: bool
    created_at: datetime
    updated_at: datetime


class TaskPage(msgspec.Struct):
    items: list[Task]
    next_cursor: uuid.UUID | None


class Authentication(AbstractAuthenticationMiddleware):
    async def authenticate_request(self, connection: ASGIConnection) -> AuthenticationResult:
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise NotAuthorizedException
        try:
            claims = jwt.decode(
                token,
                keys.get_signing_key_from_jwt(token),
                algorithms=["EdDSA"],
                audience=os.environ["JWT_AUDIENCE"],
                issuer=os.environ["JWT_ISSUER"],
            )
        except jwt.PyJWTError as error:
            raise NotAuthorizedException from error
        return AuthenticationResult(user=claims["sub"], auth=claims)


AnyRequest = Request[str, dict[str, Any], Any]
PROMISES = "PROMISES" in os.environ


def database(request: AnyRequest) -> Any:
    pool = request.app.state.pool
    return promises.OwnRows(pool, request.user) if PROMISES else pool


def found(row: asyncpg.Record | None) -> Task:
    if row is None:
        raise NotFoundException
    return Task(*row)


@post("/api/v1/tasks")
async def create_task(data: TaskCreate, request: AnyRequest) -> Task:
    return found(
        await database(request).fetchrow(
            "INSERT INTO tasks (user_id, title, description, completed)"
            f" VALUES ($1, $2, $3, $4) RETURNING {COLUMNS}",
            request.user,
            data.title,
            data.description,
            data.completed,
        )
    )


@get("/api/v1/tasks")
async def list_tasks(
    request: AnyRequest,
    limit: Annotated[int, Parameter(ge=1, le=100)] = 50,
    cursor: uuid.UUID | None = None,
) -> TaskPage:
    rows = await database(request).fetch(
        f"SELECT {COLUMNS} FROM tasks WHERE user_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
        request.user,
        cursor or uuid.UUID(int=2**128 - 1),
        limit + 1,
    )
    following = rows[limit - 1]["id"] if len(rows) > limit else None
    return TaskPage([Task(*row) for row in rows[:limit]], following)


@get("/api/v1/tasks/{task_id:uuid}")
async def get_task(task_id: uuid.UUID, request: AnyRequest) -> Task:
    return found(
        await database(request).fetchrow(
            f"SELECT {COLUMNS} FROM tasks WHERE id = $1 AND user_id = $2", task_id, request.user
        )
    )


@patch("/api/v1/tasks/{task_id:uuid}")
async def patch_task(task_id: uuid.UUID, data: TaskUpdate, request: AnyRequest) -> Task:
    changed = msgspec.to_builtins(data)
    assignments = "".join(f"{name} = ${place}, " for place, name in enumerate(changed, 3))
    return found(
        await database(request).fetchrow(
            f"UPDATE tasks SET {assignments}updated_at = now()"
            f" WHERE id = $1 AND user_id = $2 RETURNING {COLUMNS}",
            task_id,
            request.user,
            *changed.values(),
        )
    )


@post("/api/v1/tasks/{task_id:uuid}/toggle", status_code=200)
async def toggle_task(task_id: uuid.UUID, request: AnyRequest) -> Task:
    return found(
        await database(request).fetchrow(
            "UPDATE tasks SET completed = NOT completed, updated_at = now()"
            f" WHERE id = $1 AND user_id = $2 RETURNING {COLUMNS}",
            task_id,
            request.user,
        )
    )


@delete("/api/v1/tasks/{task_id:uuid}")
async def delete_task(task_id: uuid.UUID, request: AnyRequest) -> None:
    done = await database(request).execute(
        "DELETE FROM tasks WHERE id = $1 AND user_id = $2", task_id, request.user
    )
    if done == "DELETE 0":
        raise NotFoundException


@asynccontextmanager
async def pool(app: Litestar) -> AsyncIterator[None]:
    async with asyncpg.create_pool() as app.state.pool:
        yield


app = Litestar(
    [create_task, list_tasks, get_task, patch_task, toggle_task, delete_task],
    middleware=[Authentication],
    plugins=[promises.PROBLEMS] if PROMISES else [],
    lifespan=[pool],
    openapi_config=None,
)
if PROMISES:
    app = promises.AccessLog(app)
