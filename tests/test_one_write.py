"""What is written in one turn of the loop goes out in one piece, and nothing is lost at the end."""

import asyncio
import socket
from typing import Any

from tasks_backend.protocol import OneWrite


class Recorder(asyncio.Transport):
    """Keeps each piece that it is given to send."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        assert not self.closed
        self.pieces.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.pieces.append(b"(paused)")


def run(steps: list[str]) -> list[bytes]:
    async def go() -> list[bytes]:
        recorder = Recorder()
        transport = OneWrite(recorder, asyncio.get_running_loop())
        for step in steps:
            if step == "turn":
                await asyncio.sleep(0)
            elif step == "close":
                transport.close()
            elif step == "lost":
                recorder.close()
            else:
                transport.write(step.encode())
        await asyncio.sleep(0)
        return recorder.pieces

    return asyncio.run(go())


def test_a_head_and_its_body_are_one_piece() -> None:
    assert run(["head", "body"]) == [b"headbody"]


def test_what_comes_later_does_not_wait_for_more() -> None:
    assert run(["head", "turn", "a", "", "turn", "b"]) == [b"head", b"a", b"b"]


def test_hanging_up_sends_the_rest_first() -> None:
    assert run(["head", "body", "close"]) == [b"headbody"]


def test_nothing_is_sent_on_a_connection_that_is_gone() -> None:
    assert run(["head", "lost"]) == []


def test_the_rest_is_the_transports_own() -> None:
    recorder = Recorder()
    loop = asyncio.new_event_loop()
    OneWrite(recorder, loop).pause_reading()
    loop.close()
    assert recorder.pieces == [b"(paused)"]


def test_an_answer_is_one_packet(service: str) -> None:
    """A head and a body of the running service come in one piece, ten times of ten."""
    host, _, port = service.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        for _ in range(10):
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            piece = connection.recv(65536)
            assert piece.endswith(b'{"status":"alive"}'), piece
