"""Answers of a key set endpoint that fail or wait."""

from http.server import BaseHTTPRequestHandler
from threading import Event

from tasks_backend.testing.key_server import Answer

PATIENCE = 20  # seconds until a test that waits for something fails


def failing_answer(request: BaseHTTPRequestHandler) -> None:
    request.send_error(500)


def held_answer(answer: Answer, released: Event) -> Answer:
    """The same answer, determined at once and sent after the event."""

    def hold(request: BaseHTTPRequestHandler) -> None:
        released.wait(PATIENCE)
        answer(request)

    return hold
