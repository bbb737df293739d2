"""How many requests are in work at once, and whose is refused when it is too many (FR-012)."""

import logging
from collections.abc import Hashable
from types import TracebackType

from tasks_backend.errors import Overloaded
from tasks_backend.http import request_record
from tasks_backend.http.counted_warning import CountedWarning

logger = logging.getLogger("tasks_backend")

LIMITER = "tasks_backend.limiter"
"""In the lifespan's state: the limiter of the service."""


class ConcurrencyLimiter:
    """At most `limit` requests in work; beyond that they are refused before they cost much.

    A sender may have as many requests in work as there are places left (the dynamic threshold of
    Choudhury and Hahne, 1998). A sender that floods is so kept to half the places, k of them to
    1/(k+1) each, and there is always a place for the next one. A request has two senders: its
    credential and, once that is verified, its user.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.left = limit
        self._held: dict[Hashable, int] = {}
        self._refusals = CountedWarning(logger, "%d requests refused: overloaded")

    @property
    def refused(self) -> int:
        """How many requests were refused so far."""
        return self._refusals.total

    @property
    def senders(self) -> int:
        """How many senders have a request in work."""
        return len(self._held)

    @property
    def has_room(self) -> bool:
        """Whether there is a place for every sender: more than half of them are left."""
        return 2 * self.left > self.limit

    def has_place(self, sender: Hashable) -> bool:
        """Return whether there is a place for this sender."""
        return self._held.get(sender, 0) < self.left

    def count_refusal(self) -> None:
        """Note that a request was refused for lack of a place."""
        self._refusals.add()

    def require_place(self, sender: Hashable) -> None:
        """Raise Overloaded if there is no place for this sender; take none."""
        if not self.has_place(sender):
            self.count_refusal()
            if (record := request_record.get_record()) is not None:
                record.counted = True
            raise Overloaded

    def acquire(self, *senders: Hashable) -> "Place":
        """Take a place for a request of these senders. Raises Overloaded if there is none."""
        for sender in senders:
            self.require_place(sender)
        for sender in senders:
            self._held[sender] = self._held.get(sender, 0) + 1
        self.left -= 1
        return Place(self, senders)

    def release(self, senders: tuple[Hashable, ...]) -> None:
        """Give a place back."""
        self.left += 1
        for sender in senders:
            if self._held[sender] > 1:
                self._held[sender] -= 1
            else:
                del self._held[sender]


class Place:
    """A place that a request has while it is in work. Leaving the block gives it back."""

    __slots__ = ("_limiter", "_senders")

    def __init__(self, limiter: ConcurrencyLimiter, senders: tuple[Hashable, ...]) -> None:
        self._limiter = limiter
        self._senders = senders

    def __enter__(self) -> None:
        """Begin the work."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it, however it ended."""
        self._limiter.release(self._senders)
