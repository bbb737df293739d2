"""A bound for every state of a client's connection, around uvicorn's protocol (FR-018).

docs/reliability.md lists the bounds. Each connection looks at its own times once a second, so a
request pays for none of them.
"""

import asyncio
import logging
import socket
import struct
from functools import cache
from typing import Any, Self

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tasks_backend.http.counted_warning import CountedWarning

logger = logging.getLogger("tasks_backend.server")

HEAD_TIMEOUT = 10.0  # seconds from a connection, or a head's first byte, to the end of the head
WRITE_STALL = 5.0  # seconds in which a client takes nothing of what is sent to it
WRITE_TIMEOUT = 60.0  # seconds in which a client takes all of it
MAX_UNSENT = 32 * 1024 * 1024  # bytes of answers that clients have not taken, per process
SEND_BUFFER = (
    128 * 1024
)  # bytes in the kernel, of which it takes twice as many; else it is megabytes
HALF_CLOSED_TIMEOUT = 2.0  # seconds for the answer to a client that closed its sending side
IDLE_CLOSE_DELAY = 0.5  # seconds that an idle connection outlives the order to stop
CHECK_INTERVAL = 1.0  # seconds between two looks at the times of a connection
RESERVED_DESCRIPTORS = 0.25  # of the process's limit: for the database, the key set and the log

_RESET = struct.pack("ii", 1, 0)  # linger for no time: the peer gets a reset

_no_room = CountedWarning(
    logger,
    "%d connections closed: the process has no descriptors left; raise its limit (ulimit -n)",
)


class BoundedConnection(HttpToolsProtocol):
    """uvicorn's protocol, with an end to silence, half heads and clients that do not read."""

    transport: asyncio.Transport

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        now = self.loop.time()
        self.head_since: float | None = now
        """Since when a head is awaited; None in a request, and between two that keep alive."""
        self._half_closed_since: float | None = None
        self.unsent = 0
        self._unsent_since = self.taken_at = now
        self._stopping = False
        self._running: Any = None  # uvicorn's cycle of the request that is being answered
        self._check: asyncio.TimerHandle | None = None

    @property
    def in_request(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # TCP's
        """Begin a connection; where too many are open, at the cost of one that says nothing."""
        super().connection_made(transport)
        connected = transport.get_extra_info("socket")
        if connected is not None:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self._check = self.loop.call_later(CHECK_INTERVAL, self._check_times)
        if len(self.connections) > max_connections():
            _no_room.add()
            self._longest_silent().cut_off()

    def connection_lost(self, exc: Exception | None) -> None:
        """End it."""
        if self._check is not None:
            self._check.cancel()
        self._stop_running()
        super().connection_lost(exc)

    def note_data(self) -> None:
        """Note that something came: where no request is being answered, a head begins."""
        self._unset_keepalive_if_required()
        if self.head_since is None and not self.in_request:
            self.head_since = self.loop.time()

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio lets it say to keep open
        """Answer a request that is complete; otherwise nothing more can come of the connection."""
        if not self.in_request or self.cycle.more_body:
            return False
        self._half_closed_since = self.loop.time()
        self.cycle.keep_alive = False
        return True

    def pause_writing(self) -> None:
        """Let the application wait, and make room if too much waits for clients to read."""
        super().pause_writing()
        self._note_unsent()
        self._bound_unsent()

    def on_headers_complete(self) -> None:
        """Start the request: its head is no longer awaited."""
        self.head_since = None
        super().on_headers_complete()
        if not self.pipeline:
            self._running = self.cycle
        if self._stopping:
            self.cycle.keep_alive = False

    def on_response_complete(self) -> None:
        """Start the next request, if one waits."""
        following = self.pipeline[-1][0] if self.pipeline else None
        super().on_response_complete()
        self._running = following

    def shutdown(self) -> None:
        """End the connection after its running request or, if it is idle, after its next one.

        Closing at once would lose requests that are on their way.
        """
        self._stopping = True
        if self.in_request:
            self.cycle.keep_alive = False
        else:
            self.loop.call_later(IDLE_CLOSE_DELAY, self._close_if_idle)

    def cut_off(self) -> None:
        """End the connection at once. What is unsent goes with it, the kernel's part too."""
        connected = self.transport.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._stop_running()
        self.unsent, self.head_since = 0, None  # so that it is not chosen again before it is gone
        self.transport.abort()

    def _stop_running(self) -> None:
        """Let nothing more be written: uvloop raises for that, and uvicorn stops the last request
        of a connection, which another one may still be in front of.
        """
        if self._running is not None:
            self._running.disconnected = True
            self._running.message_event.set()

    def _close_if_idle(self) -> None:
        if not self.in_request:
            self.transport.close()

    def _check_times(self) -> None:
        """Close the connection if a bound has passed; look again later."""
        now = self.loop.time()
        self._check = self.loop.call_later(CHECK_INTERVAL, self._check_times)
        self._note_unsent()
        if self.unsent and (
            now - self.taken_at > WRITE_STALL or now - self._unsent_since > WRITE_TIMEOUT
        ):
            self.cut_off()
        elif self._half_closed_since is not None:
            if now - self._half_closed_since > HALF_CLOSED_TIMEOUT:
                self.cut_off()
        elif self.head_since is not None and now - self.head_since > HEAD_TIMEOUT:
            self.transport.close()

    def _note_unsent(self) -> None:
        """Note how much the client has yet to take, and when it last took something."""
        now, before = self.loop.time(), self.unsent
        self.unsent = self.transport.get_write_buffer_size()
        if before == 0:
            self._unsent_since = self.taken_at = now
        elif self.unsent < before:
            self.taken_at = now

    def _bound_unsent(self) -> None:
        """Cut off the clients that have not read for longest, while too much waits for them."""
        waiting = [each for each in self._others() if each.unsent]
        total = sum(each.unsent for each in waiting)
        for each in sorted(waiting, key=lambda each: each.taken_at):
            if total <= MAX_UNSENT:
                break
            total -= each.unsent
            each.cut_off()

    def _longest_silent(self) -> "BoundedConnection":
        """Return the connection whose head is awaited for longest: it may be this one."""
        silent = [each for each in self._others() if each.head_since is not None]
        return min(silent, key=lambda each: each.head_since or 0.0)

    def _others(self) -> list[Self]:
        """Return the connections of this server, this one among them."""
        return [each for each in self.connections if isinstance(each, type(self))]


@cache
def max_connections() -> int:
    """Return how many clients may be connected to this process, from its limit of descriptors."""
    try:
        import resource  # noqa: PLC0415 - Windows has none
    except ImportError:
        return 10_000
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limit - max(32, int(limit * RESERVED_DESCRIPTORS))
