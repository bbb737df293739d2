"""One warning for many events: a line for each would add to the load."""

import asyncio
import logging

INTERVAL = 1.0  # seconds


class CountedWarning:
    """Counts events, and logs their number once a second. `text` has one `%d`."""

    def __init__(self, logger: logging.Logger, text: str) -> None:
        self.total = 0
        self._logger = logger
        self._text = text
        self._reported = 0

    def add(self) -> None:
        """Count one event. Called on an event loop."""
        if self.total == self._reported:
            asyncio.get_running_loop().call_later(INTERVAL, self._report)
        self.total += 1

    def _report(self) -> None:
        self._logger.warning(self._text, self.total - self._reported)
        self._reported = self.total
