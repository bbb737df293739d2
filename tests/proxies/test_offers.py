"""Clients that offer HTTP/2 with their first request are served over HTTP/1.1."""

import shutil
from pathlib import Path

import orjson
import pytest
from support.programs import executable, output

from proxies.form import TASKS
from proxies.people import Person
from proxies.running import Running
from proxies.wire import Wire

TIMEOUT = 60  # seconds
BODY = b'{"title": "Of a client that offers HTTP/2"}'
JAVA = (
    "POST {path} HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nContent-Length: {length}\r\n"
    "Host: 127.0.0.1\r\nHTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA\r\n"
    "Upgrade: h2c\r\nUser-Agent: Java-http-client/17.0.15\r\n{credentials}"
    "Content-Type: application/json\r\n\r\n"
)
"""The bytes that Java's client sends."""


def test_curl_with_an_offer_of_http_2(running: Running, user: Person) -> None:
    options = "-sS --http2 -o /dev/null -w %{http_code} --max-time 20".split()
    token = f"Authorization: Bearer {user.token}"
    headers = ["-H", token, "-H", "Content-Type: application/json"]
    command = [executable("curl"), *options, *headers, "-d", BODY.decode()]
    assert _run(*command, f"{running.url}{TASKS}") == "201"


@pytest.mark.parametrize("pieces", [1, 2], ids=["in one segment", "in two"])
def test_the_bytes_of_the_java_client(running: Running, user: Person, pieces: int) -> None:
    lines = JAVA.format(path=TASKS, length=len(BODY), credentials=user.credentials)
    head = lines.encode()
    with Wire(running.port) as wire:
        wire.send([head + BODY] if pieces == 1 else [head, BODY])
        answer = wire.answer("POST")
    assert answer.status == 201, answer.body
    assert orjson.loads(answer.body)["title"] == orjson.loads(BODY)["title"]


def test_the_java_client(running: Running, user: Person, java_client: list[str]) -> None:
    assert _run(*java_client, f"{running.url}{TASKS}", user.token) == "201"


@pytest.fixture(scope="session")
def java_client(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command that runs the client, if there is a JDK; its bytes are tested without one."""
    if shutil.which("javac") is None:
        pytest.skip("there is no JDK")
    directory = tmp_path_factory.mktemp("java")
    _run("javac", "-d", str(directory), str(Path(__file__).with_name("Client.java")))
    return ["java", "-XX:TieredStopAtLevel=1", "-cp", str(directory), "Client"]


def _run(*command: str) -> str:
    return output(*command, timeout=TIMEOUT).strip()
