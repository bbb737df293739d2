"""Users who have few tasks, many and very many."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """Users who have the same number of tasks."""

    name: str
    tasks: int
    users: int

    @property
    def people(self) -> list[str]:
        """Their ids, as long as Better Auth's and in no order."""
        names = (f"{self.name}-{number}" for number in range(self.users))
        return [hashlib.md5(name.encode()).hexdigest() for name in names]


def kinds(rows: int) -> list[Kind]:
    """Return the kinds of users in a table of this size: larger kinds only in larger tables."""
    early = int(rows >= 1_000_000)
    large = rows // 5 // 100_000
    medium = max(rows * 2 // 5 // 1_000, 1)
    small = (rows - (early + large) * 100_000 - medium * 1_000) // 10
    found = [
        Kind("small", 10, small),
        Kind("medium", 1_000, medium),
        Kind("large", 100_000, large),
        Kind("early", 100_000, early),
    ]
    return [kind for kind in found if kind.users]
