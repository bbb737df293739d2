"""Logs the database's failures, but not one line for each: an outage causes too many."""

import logging
import time
from dataclasses import dataclass

from tasks_backend.db.failures import DatabaseFailure, Failure

logger = logging.getLogger("tasks_backend.db")

INTERVAL = 10.0  # seconds between two lines with the same sentence
RECOVERED_AFTER = 5.0  # seconds without a failure

UNREACHABLE = {Failure.NOT_SENT, Failure.OUTCOME_UNKNOWN, Failure.REFUSED}
_LEVELS = {
    Failure.CONFIGURATION: logging.ERROR,
    Failure.REFUSED: logging.ERROR,
    Failure.LOCKED: logging.INFO,  # usually two requests with one idempotency key
}


@dataclass
class _Sentence:
    """When a sentence was last logged, and how often it was left out since then."""

    written_at: float
    left_out: int = 0


class FailureLog:
    """Writes each sentence at once, then at most every `INTERVAL`; and the end of an outage."""

    def __init__(self) -> None:
        self._sentences: dict[str, _Sentence] = {}
        self._outage: tuple[float, float] | None = None  # when it began, and its last failure

    def failed(self, failure: DatabaseFailure) -> None:
        """Log a failure, unless its sentence was written shortly before."""
        now = time.monotonic()
        if failure.failure in UNREACHABLE:
            began, _ = self._outage or (now, now)
            self._outage = began, now
        last = self._sentences.get(failure.reason)
        if last is not None and now - last.written_at < INTERVAL:
            last.left_out += 1
            return
        self._sentences[failure.reason] = _Sentence(now)
        logger.log(
            _LEVELS.get(failure.failure, logging.WARNING),
            "the database failed: %s",
            failure.reason,
            extra={
                "failure": failure.failure.name.lower(),
                "left_out": last.left_out if last else 0,
            },
        )

    def worked(self) -> None:
        """Log the end of an outage, once nothing has failed for `RECOVERED_AFTER`."""
        if self._outage is None:
            return
        began, last = self._outage
        if time.monotonic() - last > RECOVERED_AFTER:
            logger.info("the database works again, after %.0f s", last - began)
            self._outage = None
            self._sentences.clear()
