"""How a plugin's requests fail: violated constraints, problems of its own, HTTPException."""

import json
import math
import re
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

import httpx2
import pytest
from fastapi import APIRouter, Body, FastAPI, HTTPException
from fastapi.testclient import TestClient
from pydantic import BaseModel
from sqlalchemy import text
from support.proxy import PostgresProxy

from tasks_backend import (
    ApiError,
    ConstraintViolation,
    OwnRows,
    Plugin,
    Settings,
    create_app,
    problems,
    statement,
)
from tasks_backend.db import migrations
from tasks_backend.db.retries import RESERVE
from tasks_backend.errors import NotFound, TaskNotFound
from tasks_backend.http.problem import problem as problem_body
from tasks_backend.testing.databases import NEON_OWNER, Cluster
from tasks_backend.testing.service import problem, served
from tasks_backend.testing.signing import Signer

MIGRATION = """
from alembic import op

from tasks_backend import row_level_security

revision, down_revision = "0001", None


def upgrade():
    op.execute('''
        CREATE TABLE tasks_backend_labels.labels (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id text NOT NULL REFERENCES tasks_backend.users ON DELETE CASCADE,
            name text NOT NULL CONSTRAINT label_length CHECK (length(name) < 10),
            parent uuid CONSTRAINT label_parent REFERENCES tasks_backend_labels.labels,
            code varchar(3), number int, at timestamptz, data jsonb,
            CONSTRAINT label_name UNIQUE (user_id, name),
            CONSTRAINT label_range EXCLUDE USING gist (int4range(number, number, '[]') WITH &&)
                WHERE (number IS NOT NULL)
        )
    ''')
    op.execute(row_level_security("tasks_backend_labels.labels", ["SELECT", "INSERT", "UPDATE"]))
    op.execute('''
        CREATE FUNCTION tasks_backend_labels.add(name text) RETURNS void LANGUAGE sql AS $$
        INSERT INTO tasks_backend_labels.labels (user_id, name)
        VALUES (current_setting('app.user_id'), name) $$
    ''')
"""
COLUMNS = ("name", "parent", "code", "number", "at", "data")
ADD = statement(
    text(
        "INSERT INTO tasks_backend_labels.labels (user_id, name, parent, code, number, at, data)"
        " VALUES (:user_id, :name, CAST(:parent AS uuid), :code, CAST(:number AS int),"
        " CAST(:at AS timestamptz), CAST(:data AS jsonb)) RETURNING name"
    ),
    idempotent=False,
)
ADD_FOR = statement(
    text("INSERT INTO tasks_backend_labels.labels (user_id, name) VALUES (:owner, 'x')"),
    idempotent=False,
)
ADD_BY_FUNCTION = statement(
    text("SELECT tasks_backend_labels.add('x')"), idempotent=False, ensures_user=True
)


class LabelExists(ApiError):
    status, code, title = 409, "label_exists", "Label exists"
    summary = "You have a label of this name."
    headers = {"Link": "</api/v1/labels>"}  # noqa: RUF012 - as a plugin would write it


router = APIRouter()


@router.post("")
async def add(own: OwnRows, values: Annotated[dict[str, Any], Body()]) -> str:
    ((name,),) = await own.run(ADD, **{**dict.fromkeys(COLUMNS), "name": "x", **values})
    return str(name)


@router.post("/handled", responses=problems(LabelExists))
async def add_handled(own: OwnRows, values: Annotated[dict[str, Any], Body()]) -> Any:
    try:
        return await add(own, values)
    except ConstraintViolation as violation:
        if violation.constraint == "label_name":
            raise LabelExists from None
        return [violation.kind, violation.constraint, violation.table, violation.column]


@router.post("/for/{owner}")
async def add_for(owner: str, own: OwnRows) -> None:
    await own.run(ADD_FOR, owner=owner)


@router.post("/by-function")
async def add_by_function(own: OwnRows) -> None:
    await own.run(ADD_BY_FUNCTION)


@pytest.fixture(scope="module")
def proxy(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresProxy]:
    directory = tmp_path_factory.mktemp("labels")
    (directory / "0001_labels.py").write_text(MIGRATION)
    _, url = cluster.database(cluster.login(NEON_OWNER))
    migrations.upgrade(url, [Plugin("labels", migrations=directory)])
    with PostgresProxy(url) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def app(settings: Settings, proxy: PostgresProxy) -> FastAPI:
    settings = settings.model_copy(update={"database_url": proxy.url})
    return create_app(settings, plugins=[Plugin("labels", {"v1": router})])


@pytest.fixture(scope="module")
def base(app: FastAPI) -> Iterator[str]:
    with served(app) as url:
        yield url


@pytest.fixture
def somebody(base: str, signer: Signer) -> Iterator[httpx2.Client]:
    """A user who has never written anything."""
    headers = {"Authorization": f"Bearer {signer.token(secrets.token_hex(16))}"}
    with httpx2.Client(base_url=base, headers=headers, timeout=30) as client:
        yield client


LABELS = "/api/v1/labels"
MISSING = str(UUID(int=7))
VIOLATIONS = [
    ({"name": "twice"}, "unique", "label_name", None),
    ({"parent": MISSING}, "foreign_key", "label_parent", None),
    ({"number": 5}, "exclusion", "label_range", None),
    ({"name": "x" * 10}, "check", "label_length", None),
    ({"name": None}, "not_null", None, "name"),
]


@pytest.mark.proves("FR-020")
@pytest.mark.parametrize(("values", "kind", "constraint", "column"), VIOLATIONS)
def test_a_violated_constraint_is_no_outage(
    app: FastAPI,
    proxy: PostgresProxy,
    somebody: httpx2.Client,
    caplog: pytest.LogCaptureFixture,
    values: dict[str, Any],
    kind: str,
    constraint: str | None,
    column: str | None,
) -> None:
    somebody.post(LABELS, json={"name": "twice"})
    somebody.post(LABELS, json={"name": "other", "number": 5})
    database = app.state.database
    database._retries._left = left = RESERVE / 2  # noqa: SLF001 - the budget that all users share
    messages = proxy.messages.total()
    expected = (500, "internal_error") if kind in {"check", "not_null"} else (409, "conflict")
    body = problem(somebody.post(LABELS, json=values), *expected)
    assert MISSING not in json.dumps(body)
    assert proxy.messages.total() == messages + 1
    assert database._retries._left == left  # noqa: SLF001 - nothing was repeated
    assert "database failed" not in caplog.text
    answer = somebody.post(LABELS + "/handled", json=values)
    if constraint == "label_name":
        problem(answer, 409, "label_exists")
    else:
        assert answer.json() == [kind, constraint, "tasks_backend_labels.labels", column]


@pytest.mark.proves("FR-020")
def test_the_users_row_is_there_for_the_first_write_in_one_message(
    proxy: PostgresProxy, somebody: httpx2.Client
) -> None:
    somebody.post(LABELS + "/for/nobody")  # opens the connection
    messages = proxy.messages.total()
    assert somebody.post(LABELS, json={}).status_code == 200
    assert proxy.messages.total() == messages + 1


def test_the_users_row_is_there_if_a_function_writes(somebody: httpx2.Client) -> None:
    assert somebody.post(LABELS + "/by-function").status_code == 200


def test_a_row_for_another_user_is_a_bug_and_no_outage(somebody: httpx2.Client) -> None:
    problem(somebody.post(LABELS + "/for/somebody-else"), 500, "internal_error")


@pytest.mark.proves("FR-020", "FR-002")
@pytest.mark.parametrize(
    "values",
    [
        {"name": "a\0b"},
        {"name": "\ud800"},
        {"data": '"\\u0000"'},
        {"data": "{"},
        {"code": "long"},
        {"number": 2**31},
        {"number": 10**30},
        {"parent": "no uuid"},
        {"at": "no time"},
        {"at": "2026-02-30"},
        {"at": "2026-01-01T00:00:00+99:00"},
    ],
    ids=str,
)
def test_a_value_that_cannot_be_stored_is_a_422(
    proxy: PostgresProxy, somebody: httpx2.Client, values: dict[str, Any]
) -> None:
    somebody.post(LABELS, json={})
    connections = proxy.connections
    answer = somebody.post(
        LABELS, content=json.dumps(values), headers={"Content-Type": "application/json"}
    )
    body = problem(answer, 422, "validation_error")
    assert body["detail"] == "A value of the request cannot be stored."
    assert proxy.connections == connections, "the connection is kept"


# --- problems of a plugin ---


def defined(base: type[ApiError], **members: Any) -> type[ApiError]:
    given = {"status": 409, "code": "label_gone", "title": "Gone", "summary": "It is gone."}
    given = {**({} if base is not ApiError else given), **members}
    return type("LabelGone", (base,), {k: v for k, v in given.items() if v is not ...})


@pytest.mark.parametrize(
    ("base", "members", "reason"),
    [
        (ApiError, {"status": ...}, "needs a status from 400 to 599, not None"),
        (ApiError, {"status": 200}, "needs a status from 400 to 599, not 200"),
        (ApiError, {"status": 600}, "needs a status"),
        (ApiError, {"status": "409"}, "needs a status"),
        (ApiError, {"code": ...}, "needs a text as code"),
        (ApiError, {"title": ...}, "needs a text as title"),
        (ApiError, {"summary": ...}, "needs a text as summary"),
        (ApiError, {"summary": ""}, "needs a text as summary"),
        (ApiError, {"code": "labelGone"}, "'labelGone' is not in lower snake case"),
        (ApiError, {"code": "label-gone"}, "'label-gone' is not in lower snake case"),
        (ApiError, {"code": "_gone"}, "is not in lower snake case"),
        (ApiError, {"code": "not_found"}, "'not_found' is that of NotFound"),
        (ApiError, {"code": "overloaded"}, "'overloaded' is that of Overloaded"),
        (TaskNotFound, {"code": "not_found"}, None),
        (TaskNotFound, {"status": 410}, "'task_not_found' is that of TaskNotFound"),
        (NotFound, {"code": "label_not_found"}, None),
        (NotFound, {"summary": "There is no such label."}, None),
        (ApiError, {"code": "label_gone2", "status": 599}, None),
    ],
)
def test_the_definition_of_a_problem_is_checked(
    base: type[ApiError], members: dict[str, Any], reason: str | None
) -> None:
    if reason is None:
        made = defined(base, **members)()
        assert made.detail == made.summary
    else:
        with pytest.raises(TypeError, match=reason):
            defined(base, **members)


@pytest.mark.proves("FR-011", "FR-020")
def test_a_problem_of_a_plugin_is_answered_and_documented(app: FastAPI) -> None:
    document = app.openapi()
    responses = document["paths"]["/api/v1/labels/handled"]["post"]["responses"]
    example = responses["409"]["content"]["application/problem+json"]["examples"]["label_exists"]
    assert example["value"]["detail"] == LabelExists.summary
    assert "Link" in responses["409"]["headers"]
    assert (
        "label_exists"
        in document["components"]["schemas"]["Problem"]["properties"]["code"]["examples"]
    )
    raised = LabelExists("You have 'home'.", {"X-More": "1"}, [{"field": "name"}])
    assert raised.headers == {"Link": "</api/v1/labels>", "X-More": "1"}
    assert (raised.detail, raised.errors) == ("You have 'home'.", [{"field": "name"}])


# --- HTTPException ---


class Fields(BaseModel):
    at: datetime


SAYING = APIRouter()
SAID: list[HTTPException] = []


@SAYING.get("/say")
async def say() -> None:
    raise SAID[-1]


@pytest.fixture(scope="module")
def saying(settings: Settings) -> TestClient:
    return TestClient(
        create_app(settings, plugins=[Plugin("saying", {"v1": SAYING}, public=True)]),
        raise_server_exceptions=False,
    )


def answer_to(client: TestClient, status: int, *said: Any) -> dict[str, Any]:
    SAID.append(HTTPException(status, *said))
    response: Any = client.get("/api/v1/saying/say")
    assert response.headers["content-type"] == "application/problem+json"
    assert response.status_code == response.json()["status"] == status
    for name in ("x-own", "retry-after"):
        assert len(said) < 2 or response.headers[name] == said[1][name]
    body: dict[str, Any] = response.json()
    return body


FAILURES = [*(status.value for status in HTTPStatus if status.value >= 400), 499, 599]


@pytest.mark.proves("FR-011", "FR-020")
@pytest.mark.parametrize("status", FAILURES)
def test_an_http_exception_says_what_it_says(saying: TestClient, status: int) -> None:
    headers = {"x-own": "kept", "retry-after": "7", "content-type": "text/plain"}
    plain = answer_to(saying, status)
    assert plain["detail"] not in {"", "None"}
    said = answer_to(saying, status, "There is no such label.", headers)
    assert said == {
        **plain,
        "detail": "There is no such label.",
        "request_id": said["request_id"],
    }
    fields = {
        "code": "no_such_label",
        "message": "No such label.",
        "label": {"id": 7},
        "status": 200,
        "instance": "/elsewhere",
        "errors": {"name": ["is taken", "is long"]},
    }
    said = answer_to(saying, status, fields, headers)
    assert (said["code"], said["type"]) == ("no_such_label", "/problems/no-such-label")
    assert (said["detail"], said["label"]) == ("No such label.", {"id": 7})
    assert (said["title"], said["instance"]) == (plain["title"], plain["instance"])
    assert said["errors"] == [
        {"field": "name", "location": "body", "code": "invalid", "message": message}
        for message in ("is taken", "is long")
    ]


def entry(message: str, **members: str) -> dict[str, str]:
    return {"field": "", "location": "body", "code": "invalid", "message": message, **members}


@pytest.mark.parametrize(
    ("said", "members"),
    [
        ([], {"errors": []}),
        (["is taken", 7], {"errors": [entry("is taken"), entry("7")]}),
        (
            [{"type": "missing", "loc": ("query", "a", 0), "msg": "required", "input": "s3cret"}],
            {"errors": [entry("required", field="a.0", location="query", code="missing")]},
        ),
        ([{"field": "a", "location": "moon"}], {"errors": [entry("is not valid", field="a")]}),
        ({"errors": "is taken"}, {"errors": [entry("is taken")]}),
        ({"title": "Taken", "code": "Not A Code"}, {"title": "Taken", "code": "conflict"}),
        ({"detail": "a", "message": "b"}, {"detail": "a", "message": "b"}),
        ({"detail": {"a": 1}}, {"detail": '{"a": 1}'}),
        ({1: {"at": datetime(2026, 1, 2, tzinfo=UTC)}}, {"1": {"at": "2026-01-02T00:00:00Z"}}),
        ({"number": 10**30, "left": Decimal("1.5")}, {"number": 10**30, "left": "1.5"}),
        (Fields(at=datetime(2026, 1, 2, tzinfo=UTC)), {"at": "2026-01-02T00:00:00Z"}),
        ({"error": ValueError("x"), "nan": math.nan}, {"error": None, "nan": None}),
        (ValueError("x"), {"detail": "Conflict"}),
        (object(), {"detail": "Conflict"}),
        (b"\xff", {"detail": "Conflict"}),
        ("", {"detail": "Conflict"}),
        (7, {"detail": "7"}),
        ("a \ud800", {"detail": "a \ud800"}),
    ],
    ids=lambda value: re.sub(" at 0x[0-9a-f]+", "", str(value)),
)
def test_any_detail_becomes_a_problem_without_a_python_repr(said: Any, members: Any) -> None:
    body = json.loads(problem_body(HTTPException(409, said), "/", "id").body)
    assert body["errors"] == members.get("errors", [])
    assert members.items() <= body.items()
    assert {"type", "title", "status", "detail", "instance", "code", "request_id"} <= body.keys()


def test_codes_do_not_depend_on_the_version_of_python() -> None:
    for status, code in (
        (413, "payload_too_large"),
        (414, "uri_too_long"),
        (416, "range_not_satisfiable"),
        (422, "validation_error"),
    ):
        assert json.loads(problem_body(HTTPException(status), "/", "").body)["code"] == code


def test_an_exception_that_is_no_failure_is_left_alone(saying: TestClient) -> None:
    for status in (204, 304):
        SAID.append(HTTPException(status, headers={"ETag": '"7"'}))
        response = saying.get("/api/v1/saying/say")
        assert (response.status_code, response.content) == (status, b"")
        assert response.headers["etag"] == '"7"'
    SAID.append(HTTPException(307, headers={"Location": "/elsewhere"}))
    response = saying.get("/api/v1/saying/say", follow_redirects=False)
    assert (response.status_code, response.headers["location"]) == (307, "/elsewhere")


def test_unknown_addresses_and_methods_have_the_words_of_the_service(saying: TestClient) -> None:
    for method, path in (("GET", "/nothing"), ("GET", "/api/v1/saying/nothing")):
        assert saying.request(method, path).json()["detail"] == "Nothing is at this address."
    assert saying.post("/api/v1/saying/say").json()["detail"] == (
        "This address does not take this method."
    )
