"""A victim with a task, and attackers with and without a token."""

from dataclasses import dataclass, field
from typing import Any

import orjson
from support.answers import Answer

from proxies.form import TASKS
from proxies.wire import Lost, Wire


@dataclass
class Person:
    """A client with a token; an empty one means none."""

    sub: str
    token: str

    @property
    def credentials(self) -> str:
        """The `Authorization` line of a request."""
        return f"Authorization: Bearer {self.token}\r\n" if self.token else ""


@dataclass
class Victim(Person):
    """A user with one task and its expected state."""

    service: int
    """The port of the service without a proxy."""
    task: dict[str, Any] = field(init=False)
    version: int = 1
    toggled: int = 0

    def __post_init__(self) -> None:
        with Wire(self.service) as wire:
            body = orjson.dumps({"title": f"Of {self.sub}"})
            answer = self._send(wire, "POST", TASKS, "victim", body)
        assert answer.status == 201, answer.body
        self.task = orjson.loads(answer.body)

    def visit(self, wire: Wire, prefix: str) -> list[str]:
        """Read the task and the list, toggle once; return the differences from the expected state.
        Raises Lost if no byte of an answer to the first request came.
        """
        own, before = f"{TASKS}/{self.task['id']}", len(wire.received)
        try:
            wrong = self._check_task(self._send(wire, "GET", own, f"{prefix}1"), f"{prefix}1")
            wrong += self._check_list(self._send(wire, "GET", TASKS, f"{prefix}2"))
            toggled = self._send(wire, "POST", f"{own}/toggle", f"{prefix}3")
        except (Lost, OSError) as error:
            self.look()
            if len(wire.received) == before:
                raise Lost(str(error)) from error
            return [f"the victim was not answered: {error}"]
        self.version += 1
        self.toggled += 1
        self.task["completed"] = not self.task["completed"]
        self.task["updated_at"] = _json(toggled).get("updated_at")
        wrong += self._check_task(toggled, f"{prefix}3")
        if wrong:
            self.look()
        return wrong

    def look(self) -> None:
        """Read the expected state of the task directly from the service."""
        with Wire(self.service) as wire:
            answer = self._send(wire, "GET", f"{TASKS}/{self.task['id']}", "victim")
        assert answer.status == 200, answer.body
        self.task = orjson.loads(answer.body)
        self.version = int(answer.headers["etag"].strip('"'))

    def _send(
        self, wire: Wire, method: str, path: str, request_id: str, body: bytes = b""
    ) -> Answer:
        lines = f"Host: tasks\r\nX-Request-Id: {request_id}\r\n{self.credentials}"
        kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        wire.send([f"{method} {path} HTTP/1.1\r\n{lines}{kind}\r\n".encode() + body])
        return wire.answer(method)

    def _check_task(self, answer: Answer, request_id: str) -> list[str]:
        """Compare an answer with the expected state of the task."""
        known = answer.status == 200 and answer.request_id == request_id
        tag = answer.headers.get("etag")
        if known and tag == f'"{self.version}"' and _json(answer) == self.task:
            return []
        return [_describe(request_id, answer)]

    def _check_list(self, answer: Answer) -> list[str]:
        own = answer.status == 200 and _json(answer).get("items") == [self.task]
        return [] if own else [_describe("the list", answer)]


def _json(answer: Answer) -> dict[str, Any]:
    """The body, if it is a JSON object."""
    try:
        value = orjson.loads(answer.body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _describe(what: str, answer: Answer) -> str:
    return f"{what} got {answer.status} ({answer.request_id}): {answer.body[:200]!r}"
