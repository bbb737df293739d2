"""Limits the requests in progress, and chooses which ones to refuse (EDGE-9)."""

import logging
from collections.abc import Hashable
from dataclasses import dataclass
from types import TracebackType

from tasks_backend.errors import Overloaded
from tasks_backend.http import request_record
from tasks_backend.http.counted_warning import CountedWarning

logger = logging.getLogger("tasks_backend")

OVERLOAD_POLICY = "tasks_backend.overload_policy"
"""The key of the OverloadPolicy in the lifespan's state."""


@dataclass(frozen=True)
class OverloadPolicy:
    """What a server needs in order to refuse requests before the application sees them."""

    limiter: "ConcurrencyLimiter"
    prefixes: tuple[bytes, ...]
    """Prefixes of the paths that need a token. The sender of their requests is the credential."""


def credential_sender(token: str | None) -> Hashable:
    """Return the sender for a credential, which need not be verified."""
    return "credential", token


def user_sender(user_id: str) -> Hashable:
    """Return the sender for a user. It never equals a credential's, whatever a client sends."""
    return "user", user_id


class ConcurrencyLimiter:
    """At most `limit` requests in progress; further ones are refused early, at low cost.

    A sender may hold no more places than are free (the dynamic threshold of Choudhury and Hahne,
    1998). So one flood holds at most half of them, and k floods 1/(k+1) each: a new sender finds a
    place unless as many others hold one as there are places. A request has two senders: its
    credential and, after verification, its user.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.left = limit
        self._held: dict[Hashable, int] = {}
        self._refusals = CountedWarning(
            logger,
            "%d requests refused: overloaded",
            "requests are no longer refused; the overload lasted %.0f s",
            lambda: {
                "in_use": self.limit - self.left,
                "limit": self.limit,
                "senders": self.senders,
            },
        )

    @property
    def refused(self) -> int:
        """The number of requests refused so far."""
        return self._refusals.total

    @property
    def senders(self) -> int:
        """The number of senders with a request in progress."""
        return len(self._held)

    @property
    def has_room(self) -> bool:
        """Whether more than half of the places are left, so that every sender has one."""
        return 2 * self.left > self.limit

    def has_place(self, sender: Hashable) -> bool:
        """Return whether there is a place for this sender."""
        return self._held.get(sender, 0) < self.left

    def count_refusal(self) -> None:
        """Count a request that was refused because no place was left."""
        self._refusals.add()

    def require_place(self, sender: Hashable) -> None:
        """Raise Overloaded if there is no place for this sender; acquires none."""
        if not self.has_place(sender):
            self.count_refusal()
            if (record := request_record.get_record()) is not None:
                record.in_counted_warning = True
            raise Overloaded

    def acquire(self, *senders: Hashable) -> "Place":
        """Acquire a place for a request of these senders. Raises Overloaded if there is none."""
        for sender in senders:
            self.require_place(sender)
        for sender in senders:
            self._held[sender] = self._held.get(sender, 0) + 1
        self.left -= 1
        return Place(self, senders)

    def release(self, senders: tuple[Hashable, ...]) -> None:
        """Release a place."""
        self.left += 1
        for sender in senders:
            if self._held[sender] > 1:
                self._held[sender] -= 1
            else:
                del self._held[sender]


class Place:
    """The place of a request in progress. Leaving the block releases it."""

    __slots__ = ("_limiter", "_senders")

    def __init__(self, limiter: ConcurrencyLimiter, senders: tuple[Hashable, ...]) -> None:
        self._limiter = limiter
        self._senders = senders

    def __enter__(self) -> None:
        """Do nothing: the place is already acquired."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Release the place."""
        self._limiter.release(self._senders)
