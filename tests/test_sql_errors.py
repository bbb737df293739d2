"""PostgreSQL's own sentence: for the developer in `dev`, for nobody elsewhere (finding F4)."""

import logging
from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import httpx2
import pytest
from fastapi import APIRouter, FastAPI
from sqlalchemy import text

from tasks_backend import OwnRows, Plugin, Settings, create_app, statement
from tasks_backend import plugin as plugins
from tasks_backend.db.connection import not_in_production, sql_logger
from tasks_backend.dev import app as development
from tasks_backend.dev import sql_errors
from tasks_backend.dev.issuer import Issuer
from tasks_backend.dev.settings import DevelopmentSettings
from tasks_backend.testing.service import problem, served
from tasks_backend.testing.signing import Signer

UNKNOWN_COLUMN = statement(
    text("SELECT colour FROM tasks_backend.tasks WHERE id = :id"), idempotent=True
)
UNKNOWN_TABLE = statement(text("SELECT 1 FROM tasks_backend_broken.nothing"), idempotent=True)
SENTENCES = {
    "/column": (500, "internal_error", 'column "colour" does not exist', "SELECT colour FROM"),
    "/table": (503, "database_unavailable", "tasks_backend_broken.nothing", "SELECT 1 FROM"),
}
router = APIRouter()


@router.get("/column")
async def column(own: OwnRows) -> int:
    return len(await own.run(UNKNOWN_COLUMN, id="x"))


@router.get("/table")
async def table(own: OwnRows) -> int:
    return len(await own.run(UNKNOWN_TABLE))


broken = Plugin("broken", {"v1": router})


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    issuer = Issuer(tmp_path)
    issuer.make_key()
    return issuer


@pytest.fixture
def dev(settings: Settings, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> Iterator[FastAPI]:
    """The application of `dev`, with the plugin."""
    points = EntryPoints([EntryPoint("broken", f"{__name__}:broken", plugins.GROUP)])
    monkeypatch.setattr(plugins, "entry_points", lambda group: points.select(group=group))
    given = settings.model_dump() | {"plugins": ("broken",), "_env_file": None}
    level, handlers = sql_logger.level, [*sql_logger.handlers]
    sql_errors.enable()
    yield development.build(DevelopmentSettings(**given), issuer)
    sql_logger.setLevel(level)
    sql_logger.handlers = handlers
    sql_logger.addFilter(not_in_production)


def test_dev_shows_the_sentence_and_the_statement(
    dev: FastAPI, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"Authorization": f"Bearer {issuer.token('alice', ttl=60)}"}
    with served(dev) as url, httpx2.Client(base_url=url, headers=headers) as client:
        for path, (status, code, *words) in SENTENCES.items():
            caplog.clear()
            body = problem(client.get(f"/api/v1/broken{path}"), status, code)
            for word in words:
                assert word in body["detail"]
                assert word in caplog.text
        assert client.get("/api/v1/tasks").status_code == 200
        problem(client.get("/api/v1/nothing"), 404, "not_found")


@pytest.mark.parametrize("level", ["debug", "info"])
def test_nobody_else_does(
    settings: Settings, caplog: pytest.LogCaptureFixture, level: str, signer: Signer
) -> None:
    headers = {"Authorization": f"Bearer {signer.token('alice')}"}
    caplog.set_level(getattr(logging, level.upper()), "tasks_backend")
    caplog.set_level(logging.NOTSET, sql_logger.name)  # as dictConfig leaves it
    with (
        served(create_app(settings, plugins=[broken])) as url,
        httpx2.Client(base_url=url, headers=headers) as client,
    ):
        for path, (status, code, *words) in SENTENCES.items():
            body = problem(client.get(f"/api/v1/broken{path}"), status, code)
            for word in words:
                assert word not in body["detail"]
                assert word not in "".join(record.getMessage() for record in caplog.records)
