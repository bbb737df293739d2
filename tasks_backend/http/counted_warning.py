"""One warning for many events: a line for each would add to the load."""

import asyncio
import logging
from collections.abc import Callable

INTERVAL = 1.0  # seconds from the first event to the first line
REPEAT = 10.0  # seconds between two lines while there are events


class CountedWarning:
    """Counts events and logs their number regularly; logs one more line when they have ended.

    `text` has one `%d`: the number of events since the last line. `over` is the line at the end, with
    one `%.0f`: the seconds from the first event to the last. `details` returns further fields of a
    line; it is called at the first event that the line counts.
    """

    def __init__(
        self,
        logger: logging.Logger,
        text: str,
        over: str,
        details: Callable[[], dict[str, object]] = dict,
    ) -> None:
        self.total = 0
        self._logger = logger
        self._text = text
        self._over = over
        self._details = details
        self._fields: dict[str, object] = {}
        self._reported = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._began = self._last = 0.0

    def add(self) -> None:
        """Count one event. Called on an event loop."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # no timer runs
            self._loop, self._began = loop, loop.time()
            loop.call_later(INTERVAL, self._report, loop)
        if self.total == self._reported:
            self._fields = self._details()
        self._last = loop.time()
        self.total += 1

    def _report(self, loop: asyncio.AbstractEventLoop) -> None:
        if self.total == self._reported:
            self._logger.info(self._over, self._last - self._began)
            self._loop = None
            return
        self._logger.warning(self._text, self.total - self._reported, extra=self._fields)
        self._reported = self.total
        loop.call_later(REPEAT, self._report, loop)
