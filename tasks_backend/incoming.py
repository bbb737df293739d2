"""What a client sends after the head of its request: a body with a size and a deadline, or nothing,
or the end of the connection.
"""

import asyncio
import re

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope

from tasks_backend.errors import BadRequest, PayloadTooLarge

_LENGTH = re.compile(rb"[0-9]{1,19}")  # an int of thousands of digits, zeros too, is a ValueError


class Incoming:
    """ASGI's `receive` with an end: it raises PayloadTooLarge past `limit` bytes.

    A length that is announced is refused at once, before the operation does any work; one that
    is not is counted. A body that has not come by the deadline is a bad request.
    """

    def __init__(self, scope: Scope, receive: Receive, *, limit: int, deadline: float) -> None:
        announced = {
            name: value
            for name, value in scope["headers"]
            if name in {b"content-length", b"transfer-encoding"}
        }
        length = announced.get(b"content-length", b"0")
        if not _LENGTH.fullmatch(length) or int(length) > limit:
            raise PayloadTooLarge
        self._receive = receive
        self._left = limit
        self._deadline = deadline
        self._complete = not int(length) and b"transfer-encoding" not in announced
        self._unread: Message | None = None

    async def __call__(self) -> Message:
        """Return the next piece of the body. Raises ClientDisconnect if there will be none."""
        if self._unread is not None:
            message, self._unread = self._unread, None
            return message
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise BadRequest("The body did not arrive in time.") from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise PayloadTooLarge
        self._complete = not message.get("more_body", False)
        return message

    async def hung_up(self) -> None:
        """Return when the client has gone away. While a body is still to come, that is not looked
        for: whoever reads the body will notice.
        """
        if not self._complete:
            await asyncio.get_running_loop().create_future()
        while (message := await self._receive())["type"] != "http.disconnect":
            self._unread = message
