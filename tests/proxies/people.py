"""A victim with a task, and attackers, one of them with a token of its own."""

from dataclasses import dataclass, field
from typing import Any

import orjson

from proxies.form import TASKS
from proxies.wire import Answer, Lost, Wire


@dataclass
class Person:
    """Somebody who asks with a token; with none if it is empty."""

    sub: str
    token: str

    @property
    def credentials(self) -> str:
        """The `Authorization` line of a request."""
        return f"Authorization: Bearer {self.token}\r\n" if self.token else ""


@dataclass
class Victim(Person):
    """Somebody who has one task, and knows at every moment what it must look like."""

    service: int
    """The port at which the service is asked without a proxy."""
    task: dict[str, Any] = field(init=False)
    version: int = 1
    toggled: int = 0

    def __post_init__(self) -> None:
        with Wire(self.service) as wire:
            body = orjson.dumps({"title": f"Of {self.sub}"})
            answer = self._ask(wire, "POST", TASKS, "victim", body)
        assert answer.status == 201, answer.body
        self.task = orjson.loads(answer.body)

    def visit(self, wire: Wire, prefix: str) -> list[str]:
        """Read the task, read the list, toggle once; return what was not as it must be.

        Raises Lost if not even a part of an answer to the first request came.
        """
        own, before = f"{TASKS}/{self.task['id']}", len(wire.received)
        try:
            wrong = self._held(self._ask(wire, "GET", own, f"{prefix}1"), f"{prefix}1")
            wrong += self._listed(self._ask(wire, "GET", TASKS, f"{prefix}2"))
            toggled = self._ask(wire, "POST", f"{own}/toggle", f"{prefix}3")
        except (Lost, OSError) as error:
            self.look()
            if len(wire.received) == before:
                raise Lost(str(error)) from error
            return [f"the victim was not answered: {error}"]
        self.version += 1
        self.toggled += 1
        self.task["completed"] = not self.task["completed"]
        self.task["updated_at"] = _json(toggled).get("updated_at")
        wrong += self._held(toggled, f"{prefix}3")
        if wrong:
            self.look()
        return wrong

    def look(self) -> None:
        """Learn from the service itself what the task looks like."""
        with Wire(self.service) as wire:
            answer = self._ask(wire, "GET", f"{TASKS}/{self.task['id']}", "victim")
        assert answer.status == 200, answer.body
        self.task = orjson.loads(answer.body)
        self.version = int(answer.headers["etag"].strip('"'))

    def _ask(
        self, wire: Wire, method: str, path: str, request_id: str, body: bytes = b""
    ) -> Answer:
        lines = f"Host: tasks\r\nX-Request-Id: {request_id}\r\n{self.credentials}"
        kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        wire.send([f"{method} {path} HTTP/1.1\r\n{lines}{kind}\r\n".encode() + body])
        return wire.answer(method)

    def _held(self, answer: Answer, request_id: str) -> list[str]:
        """Hold an answer against what the task must be."""
        known = answer.status == 200 and answer.request_id == request_id
        tag = answer.headers.get("etag")
        if known and tag == f'"{self.version}"' and _json(answer) == self.task:
            return []
        return [_said(request_id, answer)]

    def _listed(self, answer: Answer) -> list[str]:
        own = answer.status == 200 and _json(answer).get("items") == [self.task]
        return [] if own else [_said("the list", answer)]


def _json(answer: Answer) -> dict[str, Any]:
    """The body, if it is an object."""
    try:
        value = orjson.loads(answer.body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _said(what: str, answer: Answer) -> str:
    return f"{what} got {answer.status} ({answer.request_id}): {answer.body[:200]!r}"
