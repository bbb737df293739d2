"""What all clients of a run share: the history that they write, and what they are told to do."""

import time

from faults.deployment import SIDES
from faults.record import Attempt, History, Operation, Outcome


class Tally:
    """The history, and the counts of it that are shown while it is being written."""

    def __init__(self) -> None:
        self.history = History()
        self.stopping = False
        """No client begins anything new."""
        self.too_late = False
        """No client repeats anything any more."""
        self.successes: dict[str, list[float]] = {side: [] for side in SIDES}
        """When a write was acknowledged, by side."""
        self.acknowledged = self.in_doubt = self.failed = 0

    def told(self, operation: Operation, attempt: Attempt) -> None:
        """Count an answer for those who watch the run."""
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
    """The time as the history has it, in seconds."""
    return time.monotonic()
