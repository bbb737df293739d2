"""The retry budget: retries must not overload the database."""

import random

ATTEMPTS = 3
BACKOFF = 0.05  # seconds, doubled for each attempt
RESERVE = 10.0  # retries
SHARE = 0.1  # retries that each success earns


class RetryBudget:
    """Retries are at most a tenth of the successes, plus a small reserve for a service with few.

    In an outage nothing succeeds, so the reserve runs out and requests are not retried any more.
    """

    def __init__(self) -> None:
        self._left = RESERVE

    def earn(self) -> None:
        """Add the share of one success."""
        self._left = min(RESERVE, self._left + SHARE)

    def spend(self) -> bool:
        """Take one retry and return whether there was one."""
        if self._left < 1:
            return False
        self._left -= 1
        return True


def pause(attempt: int) -> float:
    """Return the seconds to wait after the given attempt; the first is 1.

    Full jitter: requests that failed together must not be retried together.
    """
    return random.uniform(0, BACKOFF * 2**attempt)  # noqa: S311 - jitter needs no secure source
