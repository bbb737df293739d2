"""Timeouts and limits for every state of a client's connection (FR-018).

docs/reliability.md lists them. Each connection checks its times once a second, so that a request
does not pay for them.
"""

import asyncio
import logging
import socket
import struct
from functools import cache
from typing import Any, ClassVar, Self

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tasks_backend.compatibility import overrides, require_attributes
from tasks_backend.http.counted_warning import CountedWarning

logger = logging.getLogger("tasks_backend.server")

HEAD_TIMEOUT = 10.0  # seconds from the connect, or from a head's first byte, to the head's end
WRITE_STALL = 5.0  # seconds in which a client reads nothing of a response
WRITE_TIMEOUT = 60.0  # seconds in which a client reads all of it
MAX_UNSENT = 32 * 1024 * 1024  # bytes of responses that clients have not read, per process
SEND_BUFFER = 128 * 1024  # bytes; the kernel uses twice as many, its default grows to megabytes
HALF_CLOSED_TIMEOUT = 2.0  # seconds for the response to a client that closed its sending side
IDLE_CLOSE_DELAY = 0.5  # seconds that an idle connection stays open after the stop signal
CHECK_INTERVAL = 1.0  # seconds between two checks of a connection's times
RESERVED_DESCRIPTORS = 0.25  # share of the limit, for the database, the key set and the log

_RESET = struct.pack("ii", 1, 0)  # linger 0: closing sends a reset

_closed_for_descriptors = CountedWarning(
    logger,
    "%d connections closed: the process has no descriptors left; raise its limit (ulimit -n)",
    "the process has descriptors again; the lack lasted %.0f s",
)


require_attributes("uvicorn", HttpToolsProtocol, "connections", "cycle", "flow", "pipeline")
require_attributes(
    "uvicorn",
    RequestResponseCycle,
    "disconnected",
    "keep_alive",
    "message_event",
    "more_body",
    "response_complete",
    "response_started",
)


@overrides(
    "uvicorn",
    HttpToolsProtocol,
    "_unset_keepalive_if_required",
    "connection_lost",
    "connection_made",
    "eof_received",
    "on_headers_complete",
    "on_response_complete",
    "pause_writing",
    "shutdown",
)
class BoundedConnection(HttpToolsProtocol):
    """uvicorn's protocol with timeouts for idle, slow and non-reading clients."""

    transport: asyncio.Transport
    _summed_at: ClassVar[float] = 0.0
    """When the process last summed up what its clients have not read."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        now = self.loop.time()
        self.head_since: float | None = now
        """When the service began to wait for the rest of a head. None while a request runs, and after
        a response until the next byte.
        """
        self.silent_since = now
        """When the service began to wait for the client: for a head, its rest, or the next one."""
        self._half_closed_since: float | None = None
        self.unsent = 0
        self._unsent_since = self.last_read_at = now
        self._stopping = False
        self._running: Any = None  # uvicorn's cycle of the running request
        self._check: asyncio.TimerHandle | None = None

    @property
    def in_request(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # TCP's
        """Start a connection. If too many are open, reset the one that is silent longest."""
        super().connection_made(transport)
        connected = transport.get_extra_info("socket")
        if connected is not None:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self._check = self.loop.call_later(CHECK_INTERVAL, self._check_times)
        if len(self.connections) > max_connections():
            _closed_for_descriptors.add()
            self._longest_silent().reset()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer and the running request."""
        if self._check is not None:
            self._check.cancel()
        self._stop_running()
        super().connection_lost(exc)

    def record_data(self) -> None:
        """Record that data came: if no request is running, a head begins."""
        self._unset_keepalive_if_required()
        if self.head_since is None and not self.in_request:
            self.head_since = self.loop.time()

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio: True keeps it open
        """Answer the requests that are complete; if none is, close the connection."""
        if self._running is None or self._running.more_body:
            return False
        if self.cycle.more_body:  # the one that waits behind it will never be complete
            self.pipeline.clear()
            self.cycle = self._running
        self._half_closed_since = self.loop.time()
        self.cycle.keep_alive = False
        return True

    def pause_writing(self) -> None:
        """Pause the application. If more than MAX_UNSENT bytes wait, reset the slowest readers."""
        super().pause_writing()
        self._record_unsent()
        self._limit_unsent()

    def on_headers_complete(self) -> None:
        """Start the request."""
        self._unset_keepalive_if_required()  # armed while the head was parsed, it would end the answer
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
        self.silent_since = self.loop.time()

    def shutdown(self) -> None:
        """Close after the running request or, if idle, after IDLE_CLOSE_DELAY or one more request.

        Closing at once would lose requests that are on their way.
        """
        self._stopping = True
        if self.in_request:
            self.cycle.keep_alive = False
        else:
            self.loop.call_later(IDLE_CLOSE_DELAY, self._close_if_idle)

    def reset(self) -> None:
        """Reset the connection; drop unsent bytes, also those in the kernel."""
        connected = self.transport.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._stop_running()
        if self._check is not None:
            self._check.cancel()  # it would record the unsent bytes again
        self.unsent = 0  # not chosen again before it is closed
        self.transport.abort()

    def _stop_running(self) -> None:
        """Stop the running request: its further writes would make uvloop raise.

        uvicorn stops only the last request of a connection, which may still wait behind this one.
        """
        if self._running is not None:
            self._running.disconnected = True
            self._running.message_event.set()

    def _close_if_idle(self) -> None:
        if not self.in_request:
            self.transport.close()

    def _check_times(self) -> None:
        """Close the connection if a timeout has passed, and schedule the next check."""
        now = self.loop.time()
        self._check = self.loop.call_later(CHECK_INTERVAL, self._check_times)
        self._record_unsent()
        if self.unsent and now - BoundedConnection._summed_at > CHECK_INTERVAL / 2:
            BoundedConnection._summed_at = now
            self._limit_unsent()
        if self.unsent and (
            now - self.last_read_at > WRITE_STALL or now - self._unsent_since > WRITE_TIMEOUT
        ):
            self.reset()
        elif self._half_closed_since is not None:
            if now - self._half_closed_since > HALF_CLOSED_TIMEOUT:
                self.reset()
        elif self.head_since is not None and now - self.head_since > HEAD_TIMEOUT:
            self.transport.close()

    def _record_unsent(self) -> None:
        """Record how much the client has not read, and when it last read something."""
        now, before = self.loop.time(), self.unsent
        self.unsent = self.transport.get_write_buffer_size()
        if before == 0:
            self._unsent_since = self.last_read_at = now
        elif self.unsent < before:
            self.last_read_at = now

    def _limit_unsent(self) -> None:
        """Reset connections, longest without a read first, until MAX_UNSENT is kept."""
        slow = [each for each in self._bounded_connections() if each.unsent]
        total = sum(connection.unsent for connection in slow)
        for connection in sorted(slow, key=lambda connection: connection.last_read_at):
            if total <= MAX_UNSENT:
                break
            total -= connection.unsent
            connection.reset()

    def _longest_silent(self) -> "BoundedConnection":
        """Return the connection without a request that is silent longest; may be this one.

        An idle one counts too: else a client that keeps many alive would lock out all others.
        """
        silent = [
            each
            for each in self._bounded_connections()
            if not each.in_request and not each.transport.is_closing()
        ]
        return min(silent, key=lambda each: each.silent_since)

    def _bounded_connections(self) -> list[Self]:
        """Return all connections of this server, with this one."""
        return [each for each in self.connections if isinstance(each, type(self))]


@cache
def max_connections() -> int:
    """Return how many clients may be connected to this process, from its descriptor limit."""
    try:
        import resource  # noqa: PLC0415 - Windows has none
    except ImportError:
        return 10_000
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limit - max(32, int(limit * RESERVED_DESCRIPTORS))
