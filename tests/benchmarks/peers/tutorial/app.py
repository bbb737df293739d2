"""The usual tutorial: a Session per request, response models, PyJWKClient, `def` routes."""

import os
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import jwt
from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import DateTime, func, text
from sqlmodel import Field, Session, SQLModel, col, create_engine, select

engine = create_engine("postgresql+psycopg2://")  # from libpq's variables
keys = jwt.PyJWKClient(os.environ["JWKS_URL"])
bearer = HTTPBearer()
app = FastAPI()


def now() -> datetime:
    return datetime.now(UTC)


class TaskBase(SQLModel):
    title: str = Field(min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=10_000)
    completed: bool = False


class Task(TaskBase, table=True):
    __tablename__ = "tasks"

    id: uuid.UUID | None = Field(
        default=None, primary_key=True, sa_column_kwargs={"server_default": text("uuidv7()")}
    )
    user_id: str
    created_at: datetime = Field(default_factory=now, sa_type=DateTime(timezone=True))
    updated_at: datetime = Field(
        default_factory=now,
        sa_type=DateTime(timezone=True),
        sa_column_kwargs={"onupdate": func.now()},
    )


class TaskCreate(TaskBase):
    pass


class TaskUpdate(SQLModel):
    title: str | None = Field(default=None, min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=10_000)
    completed: bool | None = None


class TaskPublic(TaskBase):
    id: uuid.UUID
    user_id: str
    created_at: datetime
    updated_at: datetime


class TaskPage(SQLModel):
    items: list[TaskPublic]
    next_cursor: uuid.UUID | None


def get_session() -> Iterator[Session]:
    with Session(engine) as session:
        yield session


def get_user(credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]) -> str:
    try:
        claims = jwt.decode(
            credentials.credentials,
            keys.get_signing_key_from_jwt(credentials.credentials),
            algorithms=["EdDSA"],
            audience=os.environ["JWT_AUDIENCE"],
            issuer=os.environ["JWT_ISSUER"],
        )
    except jwt.PyJWTError as error:
        raise HTTPException(401, "Invalid token") from error
    return str(claims["sub"])


SessionDep = Annotated[Session, Depends(get_session)]
UserDep = Annotated[str, Depends(get_user)]


def owned(session: Session, user: str, task_id: uuid.UUID) -> Task:
    task = session.exec(select(Task).where(Task.id == task_id, Task.user_id == user)).first()
    if task is None:
        raise HTTPException(404, "Task not found")
    return task


def saved(session: Session, task: Task) -> Task:
    session.add(task)
    session.commit()
    session.refresh(task)
    return task


@app.post("/api/v1/tasks", response_model=TaskPublic, status_code=201)
def create_task(body: TaskCreate, session: SessionDep, user: UserDep) -> Task:
    return saved(session, Task.model_validate(body, update={"user_id": user}))


@app.get("/api/v1/tasks", response_model=TaskPage)
def list_tasks(
    session: SessionDep,
    user: UserDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: uuid.UUID | None = None,
) -> object:
    query = select(Task).where(Task.user_id == user).order_by(col(Task.id).desc())
    if cursor is not None:
        query = query.where(col(Task.id) < cursor)
    tasks = session.exec(query.limit(limit + 1)).all()
    following = tasks[limit - 1].id if len(tasks) > limit else None
    return {"items": tasks[:limit], "next_cursor": following}


@app.get("/api/v1/tasks/{task_id}", response_model=TaskPublic)
def get_task(task_id: uuid.UUID, session: SessionDep, user: UserDep) -> Task:
    return owned(session, user, task_id)


@app.patch("/api/v1/tasks/{task_id}", response_model=TaskPublic)
def patch_task(task_id: uuid.UUID, body: TaskUpdate, session: SessionDep, user: UserDep) -> Task:
    task = owned(session, user, task_id)
    task.sqlmodel_update(body.model_dump(exclude_unset=True))
    return saved(session, task)


@app.post("/api/v1/tasks/{task_id}/toggle", response_model=TaskPublic)
def toggle_task(task_id: uuid.UUID, session: SessionDep, user: UserDep) -> Task:
    task = owned(session, user, task_id)
    task.completed = not task.completed
    return saved(session, task)


@app.delete("/api/v1/tasks/{task_id}", status_code=204)
def delete_task(task_id: uuid.UUID, session: SessionDep, user: UserDep) -> None:
    session.delete(owned(session, user, task_id))
    session.commit()
