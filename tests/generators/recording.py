"""The service, with a record of the operations that clients use, and an answer of a plugin."""

import re
from collections.abc import MutableMapping
from typing import Any

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

UNKNOWN = "00000000-0000-7000-8000-000000000000"
"""A task about which the service answers with a code that the document does not list."""
_PROBLEM = {
    "type": "/problems/of-a-plugin",
    "title": "Of a plugin",
    "status": 404,
    "detail": "A plugin's failure.",
    "instance": "/",
    "code": "of_a_plugin",
    "request_id": "1",
    "errors": [],
}
_ID = re.compile("/[0-9a-f-]{36}")


class Recording:
    """ASGI middleware. `used` has each operation, as in the document, with its statuses."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.used: dict[tuple[str, str], set[int]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        operation = (scope["method"].lower(), _ID.sub("/{task_id}", scope["path"]))

        async def record(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self.used.setdefault(operation, set()).add(message["status"])
            await send(message)

        if UNKNOWN not in scope["path"]:
            await self._app(scope, receive, record)
            return
        headers = [(b"content-type", b"application/problem+json")]
        await send({"type": "http.response.start", "status": 404, "headers": headers})
        await send({"type": "http.response.body", "body": orjson.dumps(_PROBLEM)})
