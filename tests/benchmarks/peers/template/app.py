"""FastAPI's full-stack template: a Session on psycopg 3, and the caller's row on each request.

Two things differ, for the same job: EdDSA with a key set instead of a secret, and pages after a
cursor, without a total count, instead of an offset. The owner column has an index.
"""

import os
import uuid
from collections.abc import Iterator
from typing import Annotated, Any

import jwt
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, status
from fastapi.middleware.cors import CORSMiddleware
from fastapi.security import OAuth2PasswordBearer
from jwt.exceptions import PyJWTError
from models import Task, TaskCreate, TaskPublic, TasksPublic, TaskUpdate, TokenPayload, User
from pydantic import ValidationError
from sqlmodel import Session, col, create_engine, select

engine = create_engine("postgresql+psycopg://")  # from libpq's variables
keys = jwt.PyJWKClient(os.environ["JWKS_URL"])
reusable_oauth2 = OAuth2PasswordBearer(tokenUrl="/api/v1/login/access-token")


def get_db() -> Iterator[Session]:
    with Session(engine) as session:
        yield session


SessionDep = Annotated[Session, Depends(get_db)]
TokenDep = Annotated[str, Depends(reusable_oauth2)]


def get_current_user(session: SessionDep, token: TokenDep) -> User:
    try:
        claims = jwt.decode(
            token,
            keys.get_signing_key_from_jwt(token),
            algorithms=["EdDSA"],
            audience=os.environ["JWT_AUDIENCE"],
            issuer=os.environ["JWT_ISSUER"],
        )
        payload = TokenPayload(**claims)
    except (PyJWTError, ValidationError) as error:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "Could not validate credentials") from error
    user = session.get(User, payload.sub)
    if not user:
        raise HTTPException(404, "User not found")
    return user


CurrentUser = Annotated[User, Depends(get_current_user)]
router = APIRouter(prefix="/tasks", tags=["tasks"])


def owned(session: Session, current_user: User, task_id: uuid.UUID) -> Task:
    task = session.get(Task, task_id)
    if not task or task.user_id != current_user.id:
        raise HTTPException(404, "Task not found")
    return task


def saved(session: Session, task: Task) -> Task:
    session.add(task)
    session.commit()
    session.refresh(task)
    return task


@router.post("", response_model=TaskPublic, status_code=201)
def create_task(session: SessionDep, current_user: CurrentUser, task_in: TaskCreate) -> Any:
    return saved(session, Task.model_validate(task_in, update={"user_id": current_user.id}))


@router.get("", response_model=TasksPublic)
def read_tasks(
    session: SessionDep,
    current_user: CurrentUser,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: uuid.UUID | None = None,
) -> Any:
    statement = select(Task).where(Task.user_id == current_user.id).order_by(col(Task.id).desc())
    if cursor is not None:
        statement = statement.where(col(Task.id) < cursor)
    tasks = session.exec(statement.limit(limit + 1)).all()
    following = tasks[limit - 1].id if len(tasks) > limit else None
    items = [TaskPublic.model_validate(task) for task in tasks[:limit]]
    return TasksPublic(items=items, next_cursor=following)


@router.get("/{task_id}", response_model=TaskPublic)
def read_task(session: SessionDep, current_user: CurrentUser, task_id: uuid.UUID) -> Any:
    return owned(session, current_user, task_id)


@router.patch("/{task_id}", response_model=TaskPublic)
def update_task(
    session: SessionDep, current_user: CurrentUser, task_id: uuid.UUID, task_in: TaskUpdate
) -> Any:
    task = owned(session, current_user, task_id)
    task.sqlmodel_update(task_in.model_dump(exclude_unset=True))
    return saved(session, task)


@router.post("/{task_id}/toggle", response_model=TaskPublic)
def toggle_task(session: SessionDep, current_user: CurrentUser, task_id: uuid.UUID) -> Any:
    task = owned(session, current_user, task_id)
    task.completed = not task.completed
    return saved(session, task)


@router.delete("/{task_id}", status_code=204)
def delete_task(session: SessionDep, current_user: CurrentUser, task_id: uuid.UUID) -> None:
    session.delete(owned(session, current_user, task_id))
    session.commit()


app = FastAPI()
app.add_middleware(
    CORSMiddleware,
    allow_origins=["http://localhost:5173"],
    allow_credentials=True,
    allow_methods=["*"],
    allow_headers=["*"],
)
app.include_router(router, prefix="/api/v1")
