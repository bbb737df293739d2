"""How often the service tries again, so that trying again never becomes the load."""

import random

ATTEMPTS = 3
BACKOFF = 0.05  # seconds, doubled for each attempt
RESERVE = 10.0  # retries
SHARE = 0.1  # retries that each success earns


class RetryBudget:
    """At most a tenth as many retries as successes, beside a small reserve for a quiet service.

    While nothing succeeds nothing is earned: in an outage each request soon asks only once.
    """

    def __init__(self) -> None:
        self._left = RESERVE

    def earn(self) -> None:
        """Note a success."""
        self._left = min(RESERVE, self._left + SHARE)

    def spend(self) -> bool:
        """Take one retry, if there is one."""
        if self._left < 1:
            return False
        self._left -= 1
        return True


def pause(attempt: int) -> float:
    """Return the seconds to wait after the given attempt, the first being 1: full jitter, so that
    those who failed together do not come back together.
    """
    return random.uniform(0, BACKOFF * 2**attempt)  # noqa: S311 - jitter is no secret
