"""A fault: it is injected, lasts for a while, and is healed."""

import random
from typing import ClassVar

from faults.deployment import Deployment


class Unavailable(Exception):
    """This fault cannot be injected on this machine; the message says why."""


class Fault:
    """One kind of fault. `lasts` is the range of its duration in seconds.

    `heal` returns when the fault is over, for instance when PostgreSQL takes connections again:
    from then on the service must recover by itself.
    """

    name: ClassVar[str]
    lasts: ClassVar[tuple[float, float]] = (0.0, 0.0)

    def __init__(self, deployment: Deployment, chance: random.Random) -> None:
        self.at = deployment
        self.chance = chance

    def inject(self) -> None:
        raise NotImplementedError

    def heal(self) -> None:
        pass

    def backends(self) -> list[int]:
        """The server processes of the services' connections, direct or through PgBouncer."""
        rows = self.at.postgres.sql(
            "SELECT pid FROM pg_stat_activity WHERE usename = %s AND application_name <> 'hog'",
            self.at.owner,
        )
        return [pid for (pid,) in rows]

    def terminate_backends(self) -> None:
        for pid in self.backends():
            self.at.postgres.sql("SELECT pg_terminate_backend(%s)", pid)
