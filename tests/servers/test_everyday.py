"""The contract's everyday life under each server."""

import secrets
import signal
from pathlib import Path

import psycopg2
import pytest

from servers.connection import body_of
from servers.everyday import TASKS, live
from servers.kinds import Kind
from servers.running import Running, served_by
from tasks_backend.testing.service import problem
from tasks_backend.testing.waiting import until

TOO_LARGE = 1024 * 1024  # bytes that are announced; the limit is 128 KiB
WAITING = (
    "SELECT count(*) FROM pg_locks WHERE NOT granted"
    " AND relation = 'tasks_backend.tasks'::regclass"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


def test_everyday_life(server: Running, bearer: str) -> None:
    with server.client(Authorization=bearer) as client, server.client() as stranger:
        live(client, stranger, server.kind.prefix)


def test_a_parents_middleware_answers_browsers(server: Running, bearer: str) -> None:
    """The parent's CORS answers preflights and exposes the headers; its gzip changes no tag."""
    if not server.kind.prefix:
        return
    origin = {"Origin": "https://app.example.com"}
    with server.client(Authorization=bearer, **origin) as client:
        asked = {"Access-Control-Request-Method": "PATCH"}
        asked |= {"Access-Control-Request-Headers": "authorization,content-type,if-match"}
        preflight = client.options(TASKS, headers=asked)
        assert preflight.status_code == 200, preflight.text
        assert "PATCH" in preflight.headers["access-control-allow-methods"]
        made = client.post(TASKS, json={"title": "x", "description": "y" * 2000})
        assert "ETag" in made.headers["access-control-expose-headers"]
        assert made.headers["content-encoding"] == "gzip"
        path = made.headers["location"].removeprefix(server.kind.prefix)
        tag = {"If-Match": made.headers["etag"]}
        assert client.patch(path, json={"completed": True}, headers=tag).status_code == 200


@pytest.mark.parametrize("status", [401, 413])
def test_a_refused_body_that_is_still_coming_does_not_disturb_the_next_request(
    server: Running, bearer: str, status: int
) -> None:
    """The server says that it closes the connection, and does; or it answers the next request."""
    headers = {"Content-Type": "application/json", "Content-Length": str(TOO_LARGE)}
    if status == 413:
        headers["Authorization"] = bearer
    with server.connect() as connection:
        connection.send("POST", server.kind.prefix + TASKS, headers, b'{"title": "')
        refused = connection.answer()
        assert refused.status == status
        if refused.closes:
            connection.send_more(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.ends()
            return
        if not server.kind.http2:
            connection.send_more(b"x" * (TOO_LARGE - 11))
        connection.send("GET", f"{server.kind.prefix}/livez", {})
        assert connection.answer().status == 200


def test_an_offer_to_upgrade_is_ignored(server: Running, bearer: str) -> None:
    """As `curl --http2 -d` and Java's client make it; the body comes in a segment of its own."""
    if server.kind.http2:
        return  # HTTP/2 has no upgrade (RFC 9113, 8.6)
    headers, body = body_of({"title": "upgraded"})
    headers |= {"Authorization": bearer, "Connection": "Upgrade, HTTP2-Settings"}
    headers |= {"Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAAP__"}
    with server.connect() as connection:
        connection.send("POST", server.kind.prefix + TASKS, headers)
        connection.send_more(body)
        assert connection.answer().status == 201


def test_a_client_that_disconnects_ends_its_request(
    server: Running, bearer: str, database: str
) -> None:
    """Its statement, which waits for a lock, is given up before the lock is free."""
    identity = secrets.token_hex(8)
    headers, body = body_of({"title": "gone"})
    headers |= {"Authorization": bearer, "X-Request-Id": identity}
    blocker = psycopg2.connect(database)
    try:
        with blocker.cursor() as cursor:
            cursor.execute("LOCK TABLE tasks_backend.tasks IN ACCESS EXCLUSIVE MODE")
            with server.connect() as connection:
                connection.send("POST", server.kind.prefix + TASKS, headers, body)
                until(lambda: _count(cursor) > 0, "the statement to wait")
            until(lambda: bool(server.requests(identity)), "the request to end")
    finally:
        blocker.close()
    (line,) = server.requests(identity)
    assert line["status"] is None


def _count(cursor: psycopg2.extensions.cursor) -> int:
    cursor.execute(WAITING)
    row = cursor.fetchone()
    assert row
    return int(row[0])


def test_each_request_has_one_line_and_no_query_is_logged(server: Running, bearer: str) -> None:
    secret, identity = secrets.token_hex(16), secrets.token_hex(8)
    with server.client(Authorization=bearer, **{"X-Request-Id": identity}) as client:
        problem(client.get(f"{TASKS}?token={secret}"), 422, "validation_error")
    until(lambda: bool(server.requests(identity)), "the request's line")
    (line,) = server.requests(identity)
    assert (line["event"], line["route"], line["status"]) == ("request", TASKS, 422)
    assert line["logger"] == "tasks_backend.requests"
    assert secret not in server.output
    assert bearer.split()[1] not in server.output
    starts = [line for line in server.lines if line["event"] == "tasks_backend starts"]
    assert len(starts) == (0 if server.kind.files else 1), "the factory writes it"


def test_all_lines_have_the_format(server: Running) -> None:
    others = [line for line in server.output.splitlines() if not line.startswith("{")]
    assert others == []


def test_a_stop_finishes_the_running_request(
    kind: Kind, variables: dict[str, str], database: str, bearer: str, tmp_path: Path
) -> None:
    identity = secrets.token_hex(8)
    headers, body = body_of({"title": "last"})
    headers |= {"Authorization": bearer, "X-Request-Id": identity}
    blocker = psycopg2.connect(database)
    with served_by(kind, tmp_path, variables) as server:
        with blocker.cursor() as cursor, server.connect() as connection:
            cursor.execute("LOCK TABLE tasks_backend.tasks IN ACCESS EXCLUSIVE MODE")
            connection.send("POST", kind.prefix + TASKS, headers, body)
            until(lambda: _count(cursor) > 0, "the statement to wait")
            server.program.send(signal.SIGTERM)
            if kind.stops_listening:
                until(lambda: not server.accepts(), "the server to accept nothing more")
            blocker.close()
            assert connection.answer().status == 201
        code = server.program.process.wait(30)
    assert code in {0, -signal.SIGTERM}
    (last,) = server.requests(identity)
    assert last["status"] == 201


def test_a_failed_start_is_one_sentence(
    kind: Kind, variables: dict[str, str], tmp_path: Path
) -> None:
    wrong = {**variables, "POOL_SIZE": "many", "LOG_FORMAT": "json"}
    with pytest.raises(AssertionError, match="it ended"), served_by(kind, tmp_path, wrong):
        pass
    output = (tmp_path / "server.log").read_text()
    assert "POOL_SIZE: takes" in output
    assert "Traceback" not in output
