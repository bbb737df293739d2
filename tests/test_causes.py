"""Each failure of the database has one sentence, which the log and `doctor` say."""

import json
import logging
import re
from pathlib import Path

import httpx2
import psycopg2
import pytest
from psycopg2.extensions import make_dsn
from support.addresses import Refusing, black_hole, silent_server
from support.commands import invoked
from support.proxy import PostgresProxy

from tasks_backend import Settings, create_app
from tasks_backend.db import causes, classification, failure_log, migrations
from tasks_backend.db.connection import connect
from tasks_backend.db.failure_log import FailureLog
from tasks_backend.db.failures import DatabaseFailure, Failure
from tasks_backend.testing.databases import PLAIN_OWNER, Cluster
from tasks_backend.testing.service import problem, served
from tasks_backend.testing.signing import Signer

TASKS = "/api/v1/tasks"
PASSWORD = "hunter2"

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def sentence_of(url: str, *, timeout: float = 5) -> str:
    with pytest.raises(DatabaseFailure) as failure:
        await connect(url, timeout=timeout)
    assert PASSWORD not in str(failure.value)
    return str(failure.value)


GERMAN = "Fehlermeldung auf Deutsch »somebody«".encode("latin-1")


@pytest.mark.proves("FR-012")
@pytest.mark.parametrize("words", [GERMAN, b"whatever it says"])
@pytest.mark.parametrize(
    ("state", "function", "happened"),
    [
        ("28P01", "auth_failed", "the server refuses the user or the password"),
        ("28000", "InitializeSessionUserId", "the user does not exist, or may not log in"),
        ("28000", "ClientAuthentication", "pg_hba.conf does not let this login in"),
        ("3D000", "InitPostgres", "the database does not exist"),
        ("42501", "CheckMyDatabase", "the login may not connect to the database"),
        ("55000", "CheckMyDatabase", "the database takes no connections"),
        ("42704", "find_option", "refuses a parameter of the URL"),
        ("53300", "InitializeSessionUserId", "the login's own limit of connections"),
        ("53300", "CheckMyDatabase", "the database's own limit of connections"),
        ("53300", "InitPostgres", "all connections of the server are in use"),
        ("57P03", "ProcessStartupPacket", "is starting, stopping or recovering"),
        ("57P01", "ProcessInterrupts", "is starting, stopping or recovering"),
        ("P0001", "exec_stmt_raise", "no connection, for a reason without a sentence"),
    ],
)
async def test_a_refusal_has_its_sentence_in_any_language(
    state: str, function: str, happened: str, words: bytes
) -> None:
    with Refusing(state, words, function=function) as server:
        sentence = await sentence_of(make_dsn(server.url, password=PASSWORD))
    port = server.url.partition("127.0.0.1:")[2].partition("/")[0]
    assert re.search(rf"{happened}.* \({state}; 127\.0\.0\.1:{port}\): ", sentence), sentence
    assert "somebody" not in sentence


@pytest.mark.parametrize(
    ("state", "words", "happened"),
    [
        ("08P01", "unsupported startup parameter: options", "refuses a parameter of the URL"),
        ("08P01", "no such database: tasks", "the database does not exist"),
        ("08P01", "no more connections allowed (max_client_conn)", "takes no more clients"),
        ("08P01", "server login has been failing, try again", "does not reach the server"),
        ("28000", 'no pg_hba.conf entry for host "h", user "u", no encryption', "demands TLS"),
        ("XX000", "connection is insecure (try using `sslmode=require`)", "demands TLS"),
        ("XX000", "Endpoint ID is not specified. Either please", "does not know which endpoint"),
        ("XX000", "Couldn't connect to compute node", "Neon does not start the compute"),
        ("XX000", "Control plane request failed: endpoint is disabled", "Neon does not start"),
        ("XX000", "Your account has exceeded the compute time quota.", "Neon does not start"),
        (
            "XX000",
            "you have exceeded the limit of concurrently active endpoints",
            "limit of active endpoints",
        ),
        ("XX000", "Too many connections attempts", "Neon's proxy is overloaded"),
    ],
)
async def test_a_poolers_or_neons_own_refusal_has_its_sentence(
    state: str, words: str, happened: str
) -> None:
    with Refusing(state, words.encode(), function="none") as server:
        assert happened in await sentence_of(server.url)


async def test_what_libpq_and_the_network_say_has_its_sentence(database: str) -> None:
    with black_hole() as hole, silent_server() as silent, PostgresProxy(database) as proxy:
        for changed, happened in (
            ({"port": 1}, "nothing listens at the address (127.0.0.1:1)"),
            ({"host": "no-such-host.invalid"}, "the host's name is not known"),
            ({"host": "/no/such/directory"}, "there is no such socket (/no/such/directory:"),
            ({"port": hole}, f"no answer in time (127.0.0.1:{hole})"),
            ({"port": silent}, f"no answer in time (127.0.0.1:{silent})"),
            ({"sslmode": "perhaps"}, "a parameter of the URL is not valid"),
            ({"sslmode": "require", "port": proxy.port}, "the server has no TLS"),
            ({"target_session_attrs": "standby", "port": proxy.port}, "target_session_attrs"),
        ):
            url = make_dsn(proxy.url, **{"host": "127.0.0.1", "password": PASSWORD, **changed})
            assert happened in await sentence_of(url, timeout=1), changed


async def test_a_part_of_the_password_in_the_host_is_not_said() -> None:
    sentence = await sentence_of(f"postgresql://user:first@{PASSWORD}@host.invalid/database")
    assert sentence.startswith("the URL cannot be split into user, password, host")


@pytest.mark.parametrize("command", [("migrate",), ("export-user", "x"), ("doctor",)])
def test_a_command_prints_no_part_of_a_password(tmp_path: Path, command: tuple[str, ...]) -> None:
    """libpq takes `ter2@h` for the host, and its message repeats it."""
    keys = {"BETTER_AUTH_URL": "https://auth.example.invalid"}
    result = invoked(tmp_path, *command, DATABASE_URL="postgresql://u:hun@ter2@h/db", **keys)
    assert result.exit_code in {1, 2}
    assert "ter2" not in result.output
    assert "percent-encode" in result.output


async def test_without_tls_a_missing_rule_does_not_hide_the_refusal_with_tls() -> None:
    """sslmode=prefer tries both, and libpq's message has both refusals."""
    error = psycopg2.OperationalError(
        'FATAL:  28P01: password authentication failed for user "u"\n'
        "LOCATION:  auth_failed, auth.c:334\n"
        'connection to server at "127.0.0.1", port 1 failed: FATAL:  28000: no pg_hba.conf entry'
        ' for host "127.0.0.1", user "u", database "d", no encryption\n'
        "LOCATION:  ClientAuthentication, auth.c:544\n"
    )
    lines = str(error).splitlines(keepends=True)
    for message in (lines, [*lines[2:], *lines[:2]]):
        failure = classification.classify_connecting(
            psycopg2.OperationalError("".join(message)), "host=h dbname=d"
        )
        assert "refuses the user or the password (28P01; h:5432)" in str(failure)


STATEMENTS = [(state, cause) for state, cause in causes.STATEMENTS.items() if len(state) == 5]


@pytest.mark.parametrize(("state", "cause"), [*STATEMENTS, ("P0001", None), ("53400", None)])
async def test_a_failed_statement_has_its_sentence(
    database: str, state: str, cause: causes.Cause | None
) -> None:
    connection = await connect(database, timeout=5)
    secret = f"DO $$ BEGIN RAISE EXCEPTION '{PASSWORD}' USING ERRCODE = '{state}'; END $$"
    try:
        with pytest.raises(DatabaseFailure) as failed:
            await connection.fetch(secret, {})
    finally:
        connection.close()
    assert state in str(failed.value)
    assert PASSWORD not in str(failed.value)
    if cause is not None:
        assert failed.value.failure is cause.failure
        assert str(failed.value) == f"{cause.happened} ({state}): {cause.remedy}"


async def test_a_lost_connection_has_its_sentence(proxy: PostgresProxy) -> None:
    connection = await connect(proxy.url, timeout=5)
    proxy.freeze()
    connection.loop.call_later(0.2, proxy.cut)
    with pytest.raises(DatabaseFailure, match="the connection broke while a statement ran"):
        await connection.fetch("SELECT 1", {})


@pytest.mark.parametrize(
    "damage",
    [
        "DROP TABLE tasks_backend.tasks CASCADE",
        "REVOKE ALL ON tasks_backend.tasks FROM {login}",
        "ALTER ROLE {login} SET row_security = off",
        "ALTER DATABASE {name} SET default_transaction_read_only = on",
        "ALTER DATABASE {name} ALLOW_CONNECTIONS false",
    ],
)
def test_the_log_and_doctor_say_the_same_sentence(
    cluster: Cluster,
    settings: Settings,
    signer: Signer,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    damage: str,
) -> None:
    login = cluster.login(PLAIN_OWNER)
    name, url = cluster.database(login)
    migrations.upgrade(url)
    with cluster.cursor(name if "DATABASE" not in damage else "postgres") as cursor:
        cursor.execute(damage.format(name=name, login=login))
    app = create_app(settings.model_copy(update={"database_url": url}))
    headers = {"Authorization": f"Bearer {signer.token('x')}"}
    with served(app) as base, httpx2.Client(base_url=base, headers=headers) as client:
        problem(client.post(TASKS, json={"title": "x"}), 503, "database_unavailable")
    failed = [line for line in caplog.messages if line.startswith("the database failed: ")]
    happened = failed[0].removeprefix("the database failed: ").partition(" (")[0]
    variables = {
        "DATABASE_URL": url,
        "JWT_ISSUER": settings.issuer,
        "JWT_AUDIENCE": settings.audience,
        "JWKS_URL": settings.keys_url,
    }
    diagnosis = invoked(tmp_path, "doctor", "--json", **variables)
    problems = [one["message"] for one in json.loads(diagnosis.stdout) if one["outcome"] != "ok"]
    assert any(happened in message for message in problems), problems


# The log of failures


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock of the log of failures."""
    time_now = [1000.0]
    monkeypatch.setattr("tasks_backend.db.failure_log.time.monotonic", lambda: time_now[0])
    return time_now


def test_a_repeated_failure_is_logged_once_in_an_interval_with_its_number(
    now: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    log = FailureLog()
    away = DatabaseFailure(Failure.NOT_SENT, "nothing listens")
    locked = DatabaseFailure(Failure.TIMED_OUT, "a lock")
    for _ in range(100):
        log.failed(away)
        log.failed(locked)
    now[0] += failure_log.INTERVAL
    log.failed(away)
    lines = [(line.getMessage(), vars(line)["left_out"]) for line in caplog.records]
    assert lines == [
        ("the database failed: nothing listens", 0),
        ("the database failed: a lock", 0),
        ("the database failed: nothing listens", 99),
    ]
    assert [vars(line)["failure"] for line in caplog.records] == [
        "not_sent",
        "timed_out",
        "not_sent",
    ]


def test_the_end_of_an_outage_is_logged(now: list[float], caplog: pytest.LogCaptureFixture) -> None:
    log = FailureLog()
    with caplog.at_level(logging.INFO, logger="tasks_backend.db"):
        log.worked()
        for _ in range(4):
            log.failed(DatabaseFailure(Failure.NOT_SENT, "nothing listens"))
            now[0] += 3
            log.worked()  # other connections still work
        now[0] += 3
        log.worked()
        log.worked()
    ends = [line for line in caplog.messages if "again" in line]
    assert ends == ["the database works again, after 9 s"]
