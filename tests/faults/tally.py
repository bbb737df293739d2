"""State shared by all clients of a run: their history and the command to stop."""

import time

from faults.deployment import SIDES
from faults.record import Attempt, History, Operation, Outcome


class Tally:
    """The history, and its counts for the progress display."""

    def __init__(self) -> None:
        self.history = History()
        self.stopping = False
        """Clients start no new operation."""
        self.too_late = False
        """Clients retry no operation any more."""
        self.successes: dict[str, list[float]] = {side: [] for side in SIDES}
        """The times of acknowledged writes, by side."""
        self.acknowledged = self.in_doubt = self.failed = 0

    def told(self, operation: Operation, attempt: Attempt) -> None:
        """Count an answer for the progress display."""
        if attempt.status in {0, 503, 504} and attempt.error != "hungup":
            self.failed += 1
        if not operation.is_write:
            return
        if 200 <= attempt.status < 300:
            self.acknowledged += attempt is operation.acknowledged
            self.successes[operation.side].append(attempt.answered_at)
        elif operation.outcome is Outcome.IN_DOUBT and len(operation.attempts) == 1:
            self.in_doubt += 1


def clock() -> float:
    """The history's clock, in seconds."""
    return time.monotonic()
