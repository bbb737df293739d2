"""Framing: no byte of a request is ever read as part of another (FR-018, EDGE-7).

An offer to upgrade is ignored (RFC 9110, 7.8). Each case is sent in one segment, with the body in
its own segment, and byte by byte. The next request on the connection must be read correctly.
"""

import io
import re
import socket
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import Self

import httpx2
import pytest
from support.service import connected, rest

from tasks_backend.testing.service import User, problem

pytestmark = pytest.mark.proves("FR-018", "EDGE-7")

TASKS = "/api/v1/tasks"
OFFERS = {
    "an unknown protocol": ("Connection: Upgrade", "Upgrade: x"),
    "WebSocket": ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
    "WebSocket with a key": (
        "Connection: keep-alive, Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ),
    "h2c, as curl and Java offer it": (
        "Connection: Upgrade, HTTP2-Settings",
        "Upgrade: h2c",
        "HTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA",
    ),
    "TLS": ("Connection: Upgrade", "Upgrade: TLS/1.0"),
    "several": ("Connection: upgrade", "Upgrade: foo/2, bar", "Upgrade: h2c"),
    "in capitals": ("CONNECTION: UPGRADE", "UPGRADE: X"),
    "nothing": ("Connection: Upgrade", "Upgrade:"),
    "two connection headers": ("Connection: keep-alive", "Connection: upgrade", "Upgrade: x"),
    "HTTP/2": ("Connection: Upgrade", "Upgrade: HTTP/2.0"),
}
SEGMENTS = ("one segment", "a body of its own", "byte by byte")


def segments(head: bytes, body: bytes, kind: str) -> Iterator[bytes]:
    if kind == "one segment":
        yield head + body
    elif kind == "a body of its own":
        yield from (head, body)
    else:
        yield head[:-8]
        yield from (bytes([byte]) for byte in head[-8:] + body)


def chunked(body: bytes) -> bytes:
    half = len(body) // 2
    return (
        b"".join(
            b"%x;ext=1\r\n%b\r\n" % (len(part), part) for part in (body[:half], body[half:]) if part
        )
        + b"0\r\nX-Trailer: t\r\n\r\n"
    )


class Answers(io.BufferedReader):
    """What the service sends: one buffer for all answers, so that no byte of the next is lost."""

    def makefile(self, _mode: str) -> Self:
        return self

    def close(self) -> None:
        """Stay open: HTTPResponse closes its file at the end of each answer."""


class Connection:
    """A user's connection, on which requests are sent as bytes."""

    def __init__(self, base: str) -> None:
        self.socket = connected(base)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answers = Answers(socket.SocketIO(self.socket, "r"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        super(Answers, self.answers).close()

    def send(self, head: list[str], body: bytes = b"", kind: str = SEGMENTS[0]) -> None:
        text = "\r\n".join([*head, "", ""]).encode("latin-1")
        for piece in segments(text, body, kind):
            if piece:
                self.socket.sendall(piece)

    def answer(self, method: str = "GET") -> httpx2.Response:
        response = HTTPResponse(self.answers, method=method)  # type: ignore[arg-type] # uses only makefile
        response.begin()
        content = response.read()
        return httpx2.Response(response.status, headers=response.getheaders(), content=content)

    def get(self, user: User, path: str = TASKS) -> httpx2.Response:
        self.send([f"GET {path} HTTP/1.1", "Host: x", authorization(user)])
        return self.answer()

    def is_closed(self) -> bool:
        """Whether the service closed it; with unread bytes, this is a reset."""
        try:
            return self.answers.read(1) == b""
        except ConnectionResetError:
            return True


def authorization(user: User) -> str:
    return f"Authorization: {user.client.headers['authorization']}"


@pytest.fixture
def base(alice: User) -> str:
    return str(alice.client.base_url)


@pytest.mark.parametrize("kind", SEGMENTS)
@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_body_after_an_offer_to_upgrade_belongs_to_its_request(
    base: str, alice: User, bob: User, offer: tuple[str, ...], kind: str, framing: str
) -> None:
    """The body is a request of bob's; it becomes the title of alice's task and is not executed."""
    mine = bob.create()
    smuggled = f'{{"title":"GET {TASKS}/{mine["id"]} HTTP/1.1"}}'.encode()
    body = smuggled if framing == "length" else chunked(smuggled)
    size = f"Content-Length: {len(body)}" if framing == "length" else "Transfer-Encoding: chunked"
    head = [f"POST {TASKS} HTTP/1.1", "Host: x", authorization(alice), *offer]
    with Connection(base) as connection:
        connection.send([*head, "Content-Type: application/json", size], body, kind)
        created = connection.answer()
        assert created.status_code == 201, created.text
        assert created.json()["title"] == f"GET {TASKS}/{mine['id']} HTTP/1.1"
        assert [task["id"] for task in connection.get(bob).json()["items"]] == [mine["id"]]
        assert [task["id"] for task in connection.get(alice).json()["items"]] == [
            created.json()["id"]
        ]


@pytest.mark.parametrize("kind", SEGMENTS)
@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"]
)
@pytest.mark.parametrize("path", [TASKS, f"{TASKS}/nothing/toggle", "/livez", "/nothing"])
def test_half_a_head_in_a_body_is_never_joined_with_the_next_request(
    base: str, bob: User, method: str, path: str, kind: str
) -> None:
    """An attacker without a token sends it; a proxy then sends the victim's request after it."""
    mine = bob.create()
    half = f"POST {TASKS}/{mine['id']}/toggle HTTP/1.1\r\nX: ".encode()
    offer = ("Connection: Upgrade", "Upgrade: x", f"Content-Length: {len(half)}")
    with Connection(base) as connection:
        connection.send([f"{method} {path} HTTP/1.1", "Host: x", *offer], half, kind)
        refused = connection.answer(method)
        if refused.headers.get("connection") == "close":
            return
        listed = connection.get(bob)
        assert listed.status_code == 200
        assert [task["completed"] for task in listed.json()["items"]] == [False]
    assert bob.read(mine["id"])["completed"] is False


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
def test_an_offer_without_a_body_is_a_normal_request(
    base: str, alice: User, offer: tuple[str, ...]
) -> None:
    with Connection(base) as connection:
        for _ in range(3):
            connection.send([f"GET {TASKS} HTTP/1.1", "Host: x", authorization(alice), *offer])
            assert connection.answer().status_code == 200
        connection.send(["GET /livez HTTP/1.1", "Host: x", *offer, "Connection: close"])
        assert connection.answer().headers["connection"] == "close"
        assert connection.is_closed()


def test_an_offer_is_ignored_among_pipelined_requests(base: str, alice: User, bob: User) -> None:
    offer = ("Connection: Upgrade", "Upgrade: x")
    body = b'{"title":"one"}'
    with Connection(base) as connection:
        for user in (alice, bob, alice):
            connection.send(
                [
                    f"POST {TASKS} HTTP/1.1",
                    "Host: x",
                    authorization(user),
                    *offer,
                    "Content-Type: application/json",
                    f"Content-Length: {len(body)}",
                ],
                body,
            )
        owners = [connection.answer().json()["user_id"] for _ in range(3)]
    assert owners == [alice.sub, bob.sub, alice.sub]


REFUSED = {
    "CONNECT": "CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT with a body": "CONNECT /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd",
    "length and chunks": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "length, chunks and an offer": "POST / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "an unknown coding and an offer": "POST / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\nTransfer-Encoding: gzip\r\n\r\n",
    "chunks that are not last": "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
    "two codings": "POST /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a coding that is not known": "POST /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "two lengths": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    "one length twice": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
    "a length with a sign": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +4\r\n\r\nabcd",
    "a negative length": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "a list of lengths": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4, 4\r\n\r\nabcd",
    "a space before the colon": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 4\r\n\r\nabcd",
    "folded": "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "folded and an offer": "POST / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n y\r\n\r\n",
    "a bare line feed": "GET /livez HTTP/1.1\nHost: x\n\n",
    "a bare carriage return": "GET /livez HTTP/1.1\rHost: x\r\r",
    "NUL in a value": "GET /livez HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n",
    "NUL in a name": "GET /livez HTTP/1.1\r\nHost: x\r\nA\0: b\r\n\r\n",
    "no name": "GET /livez HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n",
    "no host": "GET /livez HTTP/1.1\r\n\r\n",
    "no host and an offer": "GET /livez HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "two hosts": "GET /livez HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "HTTP/0.9": "GET /livez\r\n\r\n",
    "HTTP/2.0": "GET /livez HTTP/2.0\r\nHost: x\r\n\r\n",
    "HTTP/3.7": "GET /livez HTTP/3.7\r\nHost: x\r\n\r\n",
    "the preface of HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no HTTP": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a chunk of no size": "POST /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a chunk of negative size": "POST /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
    "a chunk of an endless size": "POST /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    "101 headers": "GET /livez HTTP/1.1\r\nHost: x\r\n" + "A: b\r\n" * 100 + "\r\n",
    "101 headers and an offer": "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n"
    + "A: b\r\n" * 98
    + "\r\n",
    "a target of 70,000 characters": f"GET /livez?{'x' * 70_000} HTTP/1.1\r\nHost: x\r\n\r\n",
    "a header of 100,000 characters": f"GET /livez HTTP/1.1\r\nHost: x\r\nA: {'b' * 100_000}\r\n\r\n",
    "an endless name": f"GET /livez HTTP/1.1\r\nHost: x\r\n{'b' * 100_000}",
}


@pytest.mark.parametrize("sent", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("pieces", [1, 2, 40])
def test_ambiguous_framing_is_refused_and_the_connection_ends(
    base: str, sent: str, pieces: int
) -> None:
    raw = sent.encode("latin-1")
    size = -(-len(raw) // pieces)
    with Connection(base) as connection:
        try:
            for start in range(0, len(raw), size):
                connection.socket.sendall(raw[start : start + size])
        except ConnectionError:
            return  # refused before all of it was sent
        try:
            answer = connection.answer()
        except ConnectionResetError:
            return
        assert answer.headers["connection"] == "close"
        if pieces == 1 or answer.status_code != 405:  # sent before the body was complete
            problem(answer, 400, "bad_request")
        assert connection.is_closed()


def test_a_400_of_the_protocol_has_the_clients_request_id(base: str) -> None:
    """Also after another request on the connection, whose id it must not have."""
    with Connection(base) as connection:
        first = b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Request-Id: first\r\n\r\n"
        connection.socket.sendall(first)
        assert connection.answer().headers["x-request-id"] == "first"
        connection.socket.sendall(
            first.replace(b"first", b"second").replace(b"x", b"x\r\nHost: y", 1)
        )
        answer = connection.answer()
    assert problem(answer, 400, "bad_request")["request_id"] == "second"
    assert answer.headers["x-request-id"] == "second"
    with Connection(base) as connection:
        connection.socket.sendall(first)
        assert connection.answer().headers["x-request-id"] == "first"
        connection.socket.sendall(b"\0 nonsense\r\n\r\n")
        assert re.fullmatch("[0-9a-f]{32}", connection.answer().headers["x-request-id"])


def test_http_1_0_needs_no_host(base: str) -> None:
    """As HAProxy checks a server's health."""
    with connected(base) as connection:
        connection.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        assert rest(connection).startswith(b"HTTP/1.1 200 ")


def test_a_400_to_head_has_no_body(base: str) -> None:
    with connected(base) as connection:
        connection.sendall(b"HEAD /livez HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n")
        received = rest(connection)
    assert received.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert received.endswith(b"\r\n\r\n")


def test_a_parse_error_does_not_replace_the_answer_of_an_earlier_request(
    base: str, alice: User
) -> None:
    task = alice.create()
    with Connection(base) as connection:
        head = f"GET {TASKS}/{task['id']} HTTP/1.1\r\nHost: x\r\n{authorization(alice)}\r\n\r\n"
        connection.socket.sendall(head.encode() + b"\0\0\0 nonsense\r\n\r\n")
        assert connection.answer().json() == task
        assert connection.is_closed()


def test_many_pipelined_requests_are_answered_in_order(base: str, alice: User) -> None:
    """Most of them wait unparsed; the answers are the same."""
    tasks = [alice.create(title=f"{number}") for number in range(5)] * 30
    with Connection(base) as connection:
        connection.socket.sendall(
            "".join(
                f"GET {TASKS}/{task['id']} HTTP/1.1\r\nHost: x\r\n{authorization(alice)}\r\n\r\n"
                for task in tasks
            ).encode()
        )
        assert [connection.answer().json()["id"] for _ in tasks] == [task["id"] for task in tasks]


@pytest.mark.parametrize("kind", SEGMENTS)
def test_bodies_of_pipelined_requests_are_not_mixed_up(base: str, alice: User, kind: str) -> None:
    titles = [f"{number}" * 20 for number in range(6)]
    with Connection(base) as connection:
        for number, title in enumerate(titles):
            body = f'{{"title":\r\n\r\n"{title}"}}'.encode()
            sent, size = (
                (body, f"Content-Length: {len(body)}")
                if number % 2
                else (chunked(body), "Transfer-Encoding: chunked")
            )
            head = [f"POST {TASKS} HTTP/1.1", "Host: x", authorization(alice)]
            connection.send([*head, "Content-Type: application/json", size], sent, kind)
        assert [connection.answer().json()["title"] for _ in titles] == titles
