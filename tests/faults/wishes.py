"""Random operations of users; each write can be recognised by the values it writes."""

import itertools
import random
from dataclasses import dataclass, field

from faults.record import Operation, Selection

ENOUGH = 25  # tasks of a user; with more, deletions are more likely than creations
MIX = {
    "create": 26, "get": 14, "list": 6, "patch": 22, "put": 8, "toggle": 16, "delete": 5,
    "foreign": 3, "patch_all": 3, "delete_all": 1,
}  # fmt: skip


@dataclass
class User:
    """A user with a token. `known` has the tasks read so far, each with its last version."""

    sub: str
    token: str
    known: dict[str, int | None] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)


class Wishes:
    """One user's endless operations at one side. Numbers are unique in the whole run."""

    def __init__(
        self,
        user: User,
        side: str,
        everybody: list[User],
        numbers: "itertools.count[int]",
        chance: random.Random,
    ) -> None:
        self._user = user
        self._side = side
        self._everybody = everybody
        self._numbers = numbers
        self._random = chance

    def operation(self, kind: str, **fields: object) -> Operation:
        number = next(self._numbers)
        return Operation(number, self._user.sub, self._side, kind, **fields)  # type: ignore[arg-type] # the dataclass checks the field names

    def next(self) -> Operation:
        kind = self._random.choices(list(MIX), list(MIX.values()))[0]
        if kind == "foreign" and (foreign := self._foreign()) is not None:
            return foreign
        known = self._user.known
        if len(known) > ENOUGH and kind == "create":
            kind = "delete"
        if kind == "list":
            return self.operation("list")
        if kind in {"create", "foreign"} or not known:
            return self._create()
        if kind in {"patch_all", "delete_all"}:
            return self._change_all(kind)
        task = self._random.choice(list(known))
        operation = self.operation(kind, task=task)
        if kind == "get":
            return operation
        if kind == "toggle" and self._random.random() < 0.5:
            operation.key = f"k{operation.number}"
        if self._random.random() < 0.3:
            operation.if_match = known[task]
        if kind in {"patch", "put"}:
            operation.change = self._change(operation)
        return operation

    def _create(self) -> Operation:
        operation = self.operation("create")
        if self._random.random() < 0.5:
            operation.key = f"k{operation.number}"
        operation.change = {
            "title": f"t{operation.number}",
            "description": f"c{operation.number}",
            "completed": self._random.random() < 0.5,
        }
        return operation

    def _change(self, operation: Operation) -> dict[str, object]:
        """Fields that identify their operation; the description begins with the origin."""
        assert operation.task is not None
        change = {
            "title": f"t{operation.number}",
            "description": f"{self._user.origins[operation.task]} d{operation.number}",
            "completed": self._random.random() < 0.5,
        }
        if operation.kind == "patch":
            fewer = self._random.sample(list(change), self._random.randint(1, 3))
            return {name: change[name] for name in fewer}
        return change

    def _change_all(self, kind: str) -> Operation:
        """Half of them select by text too: a number that some titles or descriptions contain."""
        completed = self._random.random() < 0.5
        text = str(self._random.randrange(10)) if self._random.random() < 0.5 else None
        operation = self.operation(kind, selection=Selection(completed, text))
        if kind == "patch_all":
            operation.change = {"completed": not completed}
        if self._random.random() < 0.5:
            operation.key = f"k{operation.number}"
        return operation

    def _foreign(self) -> Operation | None:
        other = self._random.choice(self._everybody)
        if other is self._user or not other.known:
            return None
        task = self._random.choice(list(other.known))
        kind = self._random.choice(["get", "patch", "toggle", "delete"])
        change = {"title": "stolen"} if kind == "patch" else {}
        return self.operation(kind, task=task, foreign=True, change=change)
