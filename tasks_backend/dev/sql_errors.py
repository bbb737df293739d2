"""PostgreSQL's own sentence and the statement, in the log and in the detail of the problem.

Only `dev` shows them: the sentence may contain a row.
"""

import logging
from contextvars import ContextVar

import orjson
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tasks_backend.db.connection import not_in_production, sql_logger
from tasks_backend.errors import MEDIA_TYPE
from tasks_backend.plugin import Plugin

_sentences: ContextVar[list[str] | None] = ContextVar("sentences", default=None)


class _Collector(logging.Handler):
    """Adds a request's sentences to its list."""

    def emit(self, record: logging.LogRecord) -> None:
        if (sentences := _sentences.get()) is not None:
            sentences.append(record.getMessage())


_COLLECTOR = _Collector()


class SqlErrorsMiddleware:
    """Add the sentences to the `detail` of a request's problem document."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        sentences: list[str] = []
        head: Message | None = None

        async def send_explained(message: Message) -> None:
            nonlocal head
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if sentences and headers.get("content-type") == MEDIA_TYPE:
                    head = message
                    return
            elif head is not None:  # a problem document has one part
                problem = orjson.loads(message["body"])
                problem["detail"] = " ".join([problem["detail"], *sentences])
                message["body"] = orjson.dumps(problem)
                MutableHeaders(scope=head)["Content-Length"] = str(len(message["body"]))
                await send(head)
            await send(message)

        token = _sentences.set(sentences)
        try:
            await self.app(scope, receive, send_explained)
        finally:
            _sentences.reset(token)


plugin = Plugin("sql-errors", middleware=[Middleware(SqlErrorsMiddleware)])


def enable() -> None:
    """Log the sentences, and collect those of each request, in this process."""
    sql_logger.removeFilter(not_in_production)
    sql_logger.setLevel(logging.INFO)
    sql_logger.addHandler(_COLLECTOR)
