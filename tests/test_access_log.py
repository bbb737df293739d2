"""One log line for each request: what it was and its cost, but none of its content."""

import json
import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psycopg2
import pytest
from psycopg2.extensions import make_dsn
from pydantic import SecretStr
from support.commands import invoked

from tasks_backend import Settings, create_app
from tasks_backend.http.access_log import user_hasher
from tasks_backend.serving.log_format import JsonFormatter, TextFormatter, logging_config
from tasks_backend.testing.service import User, problem, served
from tasks_backend.testing.signing import Signer

TASKS = "/api/v1/tasks"
FIELDS = {
    "request_id",
    "method",
    "route",
    "status",
    "code",
    "duration_ms",
    "waited_ms",
    "database_ms",
    "exchanges",
    "user",
}
ORDINARY = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level("INFO", logger="tasks_backend.requests"):
        yield caplog


def request_line(log: pytest.LogCaptureFixture, response: httpx2.Response) -> dict[str, object]:
    """The line of this request; it may be written shortly after the response."""
    wanted = response.headers["x-request-id"]
    give_up = time.monotonic() + 20
    while time.monotonic() < give_up:
        found = [line for line in log.records if vars(line).get("request_id") == wanted]
        if found:
            assert len(found) == 1
            return {name: value for name, value in vars(found[0]).items() if name not in ORDINARY}
        time.sleep(0.005)
    raise AssertionError("it was not logged")


def test_a_line_describes_the_request(alice: User, log: pytest.LogCaptureFixture) -> None:
    task = alice.create()
    response = alice.client.get(f"{TASKS}/{task['id']}")
    line = request_line(log, response)
    assert set(line) == FIELDS
    assert line["method"] == "GET"
    assert line["route"] == "/api/v1/tasks/{task_id}"
    assert (line["status"], line["code"], line["exchanges"]) == (200, None, 1)
    assert 0 < float(str(line["database_ms"])) < float(str(line["duration_ms"]))


def test_a_line_has_the_reason_of_a_failure(
    alice: User, anonymous: httpx2.Client, log: pytest.LogCaptureFixture
) -> None:
    for response, status, code, route in (
        (anonymous.get(TASKS), 401, "missing_token", TASKS),
        (alice.client.post(TASKS, json={}), 422, "validation_error", TASKS),
        (alice.client.get("/secret/path?token=abc"), 404, "not_found", None),
        (alice.client.put(TASKS), 405, "method_not_allowed", TASKS),
        (anonymous.get("/livez"), 200, None, "/livez"),
    ):
        line = request_line(log, response)
        assert (line["status"], line["code"], line["route"]) == (status, code, route)


REFUSED: dict[str, dict[str, Any]] = {
    "issuer": {"iss": "https://elsewhere.example.com"},
    "audience": {"aud": "https://elsewhere.example.com"},
    "not yet valid": {"iat": int(time.time()) + 3600, "exp": int(time.time()) + 7200},
    "missing claim": {"iat": None},
    "lifetime": {"exp": int(time.time()) + 10**7},
    "purpose": {"client_id": "x"},
    "subject": {"sub": " "},
    "claims": {"exp": "soon"},
    "key id": {"header": {"kid": "\x00"}},
    "type": {"header": {"typ": "at+jwt"}},
    "header": {"header": {"crit": ["x"]}},
    "unknown key": {"header": {"kid": "other"}},
}


@pytest.mark.parametrize("reason", REFUSED)
def test_a_refused_token_has_its_reason_in_the_line_and_not_in_the_response(
    anonymous: httpx2.Client, signer: Signer, log: pytest.LogCaptureFixture, reason: str
) -> None:
    token = signer.token(**{"sub": "alice", **REFUSED[reason]})
    response = anonymous.get(TASKS, headers={"Authorization": f"Bearer {token}"})
    assert problem(response, 401, "invalid_token")["detail"] == "The token is not valid."
    line = request_line(log, response)
    assert line["reason"] == reason
    assert set(line) == FIELDS | {"reason"}


@pytest.mark.parametrize(
    ("reason", "token"), [("form", "x"), ("signature", None), ("algorithm", "e30.e30.e30")]
)
def test_a_token_that_is_no_valid_jwt_has_its_reason(
    anonymous: httpx2.Client,
    signer: Signer,
    log: pytest.LogCaptureFixture,
    reason: str,
    token: str | None,
) -> None:
    forged = token or f"{signer.token('alice').rpartition('.')[0]}.AAAA"
    response = anonymous.get(TASKS, headers={"Authorization": f"Bearer {forged}"})
    assert request_line(log, response)["reason"] == reason


def test_a_user_is_a_salted_hash(
    alice: User, bob: User, log: pytest.LogCaptureFixture, settings: Settings, signer: Signer
) -> None:
    ours = [request_line(log, user.client.get(TASKS))["user"] for user in (alice, bob, alice)]
    assert ours[0] == ours[2] != ours[1]
    assert all(re.fullmatch("[0-9a-f]{16}", str(name)) for name in ours)
    assert user_hasher("one salt")(alice.sub) != user_hasher("another")(alice.sub)
    assert user_hasher(settings.pseudonym_salt)(alice.sub) == ours[0]
    salted = settings.model_copy(update={"log_salt": SecretStr("salt")})
    with served(create_app(salted)) as base:
        response = httpx2.get(f"{base}{TASKS}", headers=alice.client.headers, timeout=30)
    assert request_line(log, response)["user"] == user_hasher("salt")(alice.sub) != ours[0]


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("postgresql://login:other@host/database", True),
        ("postgresql://new_login:other@host:6543/database?sslmode=require", True),
        ("host=host dbname=database user=login password=other", True),
        ("postgresql://login:password@elsewhere/database", False),
        ("postgresql://login:password@host/another", False),
    ],
)
def test_a_user_hash_does_not_depend_on_database_login_or_password(
    settings: Settings, url: str, same: bool
) -> None:
    one, other = (
        settings.model_copy(update={"database_url": address}).pseudonym_salt
        for address in ("postgresql://login:password@host/database", url)
    )
    assert (one == other) is same
    assert "password" not in one


def test_no_content_of_a_request_is_logged(
    alice: User, caplog: pytest.LogCaptureFixture, settings: Settings
) -> None:
    secrets = ("T1tle-s3cret", "D3scription-s3cret", "k3y-s3cret", "cur5or")
    with caplog.at_level("DEBUG"):
        task = alice.create(title=secrets[0], description=secrets[1])
        headers = {"Idempotency-Key": secrets[2]}
        alice.client.post(TASKS, json={"title": secrets[0]}, headers=headers)
        alice.client.get(TASKS, params={"cursor": secrets[3]})
        answer = alice.client.get(f"{TASKS}/{task['id']}")
        token = alice.client.headers["authorization"].split()[1]
    everything = "\n".join(
        form().format(record)
        for form in (JsonFormatter, TextFormatter)
        for record in caplog.records
        if record.name.startswith("tasks_backend")
    )
    password = psycopg2.extensions.parse_dsn(settings.database_url).get("password", "-none-")
    assert answer.headers["x-request-id"] in everything
    for said in (*secrets, alice.sub, token, token.split(".")[1], task["id"], password):
        assert said not in everything


def test_log_format_selects_json_or_text() -> None:
    record = logging.makeLogRecord(
        {"name": "tasks_backend.requests", "levelname": "INFO", "msg": "request", "status": 200}
    )
    line = json.loads(JsonFormatter().format(record))
    assert line["timestamp"].endswith("Z")
    del line["timestamp"]
    logged = {"event": "request", "level": "info", "logger": "tasks_backend.requests"}
    assert line == {**logged, "status": 200}
    text = TextFormatter().format(record)
    assert "request" in text
    assert "status=200" in text
    assert "\n" not in text


def test_a_traceback_shows_no_values() -> None:
    """structlog's default would print all local variables."""

    def fail(token: str) -> None:
        raise ValueError("planted")

    try:
        fail(f"t0ken-in-a-{'variable'}")  # not as its line in the source has it
    except ValueError as error:
        record = logging.makeLogRecord(
            {"msg": "failed", "exc_info": (type(error), error, error.__traceback__)}
        )
    for form in (JsonFormatter, TextFormatter):
        line = form().format(record)
        assert "planted" in line
        assert "t0ken-in-a-variable" not in line


def test_without_a_terminal_the_log_is_json() -> None:
    assert (
        logging_config("info", "auto")
        == logging_config("info", "json")
        != logging_config("info", "text")
    )


def test_a_log_record_below_the_level_is_not_created(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level("ERROR", logger="tasks_backend.requests"),
        served(create_app(settings)) as base,
    ):
        assert httpx2.get(f"{base}/livez").status_code == 200
    assert not caplog.records


def test_a_refused_body_has_its_sender_in_the_log(
    alice: User, log: pytest.LogCaptureFixture
) -> None:
    response = alice.client.post(TASKS, content=b" " * 200_000)
    assert response.status_code == 413
    assert request_line(log, response)["user"] is not None


@pytest.mark.parametrize("variables", [{}, {"LOG_SALT": "salt"}])
def test_a_command_prints_the_hash_of_a_user(
    settings: Settings, tmp_path: Path, variables: dict[str, str]
) -> None:
    """It needs no other setting, and the login and its password do not matter."""
    url = make_dsn(settings.database_url, user="somebody", password="another")
    result = invoked(tmp_path, "user-hash", "alice", DATABASE_URL=url, **variables)
    salt = variables.get("LOG_SALT", settings.pseudonym_salt)
    assert (result.exit_code, result.output) == (0, f"{user_hasher(salt)('alice')}\n")
