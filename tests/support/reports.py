"""A plugin that uses an ordinary session of SQLAlchemy as the caller."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import psycopg2
from fastapi import APIRouter, Depends, FastAPI, Request
from pydantic import Field, SecretStr
from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    Table,
    Text,
    create_engine,
    event,
    select,
    text,
)
from sqlalchemy.orm import Session

from tasks_backend import OwnRows, Plugin, PluginSettings

router = APIRouter()
tasks = Table("tasks", MetaData(schema="tasks_backend"), Column("title", Text))


class ReportsSettings(PluginSettings):
    database_url: SecretStr = Field(description="As DATABASE_URL.")


class CallerSession(Session):
    """Each of its transactions begins with the caller's identity."""


IDENTITY = "SELECT set_config('role', 'tasks_app', true), set_config('app.user_id', :user_id, true)"


@event.listens_for(CallerSession, "after_begin")
def act_as_caller(session: CallerSession, transaction: Any, connection: Connection) -> None:
    connection.execute(text(IDENTITY), {"user_id": session.info["user_id"]})


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    url = ReportsSettings.of_app(app).database_url.get_secret_value()
    app.state.reports_engine = create_engine(
        "postgresql+psycopg2://", creator=lambda: psycopg2.connect(url), pool_size=1, max_overflow=0
    )
    yield
    app.state.reports_engine.dispose()


def caller_session(request: Request, own: OwnRows) -> Iterator[CallerSession]:
    engine = request.app.state.reports_engine
    with CallerSession(engine, info={"user_id": own.caller.user_id}) as session:
        yield session


@router.get("/titles")
def titles(session: Annotated[CallerSession, Depends(caller_session)]) -> list[str]:
    return list(session.scalars(select(tasks.c.title).order_by(tasks.c.title)))


# --- for the test alone ---


@router.get("/transactions")
def transactions(session: Annotated[CallerSession, Depends(caller_session)]) -> list[str]:
    """Return the titles that each of two transactions sees, one rolled back and one committed."""
    first = titles(session)
    session.rollback()
    second = titles(session)
    session.commit()
    return first + second


@router.get("/login")
def login(request: Request, own: OwnRows) -> list[str | None]:
    """Return what stays on the connection: the role, and the user."""
    with request.app.state.reports_engine.connect() as connection:
        sql = "SELECT current_setting('role'), current_setting('app.user_id', true)"
        return [*connection.execute(text(sql)).one()]


plugin = Plugin("reports", {"v1": router}, lifespan=lifespan, settings=ReportsSettings)
