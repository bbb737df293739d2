"""How much is worked on at once, and whose requests are refused when it is too much."""

import asyncio
import logging

from starlette._utils import get_route_path
from starlette.types import ASGIApp, Receive, Scope, Send

from tasks_backend.envelope import failed
from tasks_backend.errors import Overloaded

logger = logging.getLogger("tasks_backend")

ADMISSION = "tasks_backend.admission"
"""In the lifespan's state: for a server that asks before it makes a request of what it reads."""
ADMITTED = "tasks_backend.admitted"
"""In a request's scope: the server has taken its place already."""
PREFIX = "/api/"
"""What is counted. Health probes and documents are always answered."""
REPORT_EVERY = 1.0  # seconds


class Admission:
    """At most `limit` requests at once; beyond that they are refused before they cost much.

    A sender, told by the credentials that are sent, may have as many requests in work as there
    are places left (the dynamic threshold of Choudhury and Hahne, 1998). One that floods is so
    kept to half the places, k of them to 1/(k+1) each, and there is always room for the next.
    """

    def __init__(self, limit: int) -> None:
        self.left = limit
        self.refused = 0
        self._held: dict[bytes, int] = {}
        self._reported = 0

    def take(self, sender: bytes) -> bool:
        """Take a place, if there is one for this sender."""
        held = self._held.get(sender, 0)
        if held >= self.left:
            if self.refused == self._reported:
                asyncio.get_running_loop().call_later(REPORT_EVERY, self._report)
            self.refused += 1
            return False
        self._held[sender] = held + 1
        self.left -= 1
        return True

    def give(self, sender: bytes) -> None:
        """Give a place back."""
        self.left += 1
        if self._held[sender] > 1:
            self._held[sender] -= 1
        else:
            del self._held[sender]

    def _report(self) -> None:
        """Log once for many: a line for each would add to the load."""
        logger.warning("%d requests refused: overloaded", self.refused - self._reported)
        self._reported = self.refused


class Admitting:
    """Answer what is not admitted with Overloaded (FR-012)."""

    def __init__(self, app: ASGIApp, admission: Admission) -> None:
        self.app = app
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http" or not get_route_path(scope).startswith(PREFIX):
            await self.app(scope, receive, send)
            return
        sender = sender_of(scope["headers"])
        if ADMITTED not in scope and not self._admission.take(sender):
            await failed(scope, Overloaded())(scope, receive, send)
            return
        try:
            await self.app(scope, receive, send)
        finally:
            self._admission.give(sender)


def sender_of(headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return the credentials as they were sent, looked at no further; empty if there are none."""
    return next((value for name, value in headers if name == b"authorization"), b"")
