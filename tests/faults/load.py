"""Many users, each with a client at both services, who do a bit of everything and never give up."""

import asyncio
import itertools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from faults import http
from faults.deployment import REQUEST_TIMEOUT, SIDES
from faults.record import Attempt, History, Operation, Outcome, Task

API = "/api/v1/tasks"
PATIENCE = REQUEST_TIMEOUT + 4  # seconds that a client waits, well beyond the service's promise
THINK = 0.1  # seconds between two operations of a client, on average
LAST_CALL = 60.0  # seconds after the end in which what has a key is still repeated
ENOUGH = 25  # tasks of a user; with more they rather delete than create
TICK = 0.02
MIX = {
    "create": 26, "get": 14, "list": 6, "patch": 22, "put": 8, "toggle": 16, "delete": 5,
    "foreign": 3,
}  # fmt: skip
METHODS = {
    "create": "POST", "get": "GET", "list": "GET", "patch": "PATCH", "put": "PUT",
    "toggle": "POST", "delete": "DELETE",
}  # fmt: skip


@dataclass
class User:
    """Somebody with a token. `known` has the tasks they have seen, each with its last version."""

    sub: str
    token: str
    known: dict[str, int | None] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)


class Client:
    """One client of one user at one service."""

    def __init__(self, user: User, side: str, port: int, load: "Load", seed: int) -> None:
        self._user = user
        self._side = side
        self._load = load
        self._random = random.Random(seed)
        self._connection = http.Connection(port, user.token)

    async def run(self) -> None:
        try:
            while not self._load.stopping:
                await asyncio.sleep(self._random.expovariate(1 / THINK))
                await self._perform(self._choose())
        finally:
            await self._connection.close()

    async def read_all(self) -> None:
        """Read everything once, as the last operations of the history."""
        await self._perform(self._operation("list"))
        for task in list(self._user.known):
            await self._perform(self._operation("get", task=task))
        await self._connection.close()

    def _operation(self, kind: str, **fields: object) -> Operation:
        number = next(self._load.numbers)
        return Operation(number, self._user.sub, self._side, kind, **fields)  # type: ignore[arg-type] # the fields' names are checked by the dataclass

    def _choose(self) -> Operation:
        kind = self._random.choices(list(MIX), list(MIX.values()))[0]
        if kind == "foreign" and (foreign := self._foreign()) is not None:
            return foreign
        known = self._user.known
        if len(known) > ENOUGH and kind == "create":
            kind = "delete"
        if kind == "list":
            return self._operation("list")
        if kind in {"create", "foreign"} or not known:
            return self._create()
        task = self._random.choice(list(known))
        operation = self._operation(kind, task=task)
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
        operation = self._operation("create")
        if self._random.random() < 0.5:
            operation.key = f"k{operation.number}"
        operation.change = {
            "title": f"t{operation.number}",
            "description": f"c{operation.number}",
            "completed": self._random.random() < 0.5,
        }
        return operation

    def _change(self, operation: Operation) -> dict[str, object]:
        """Fields that tell which operation wrote them; the description begins with the origin."""
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

    def _foreign(self) -> Operation | None:
        other = self._random.choice(self._load.users)
        if other is self._user or not other.known:
            return None
        task = self._random.choice(list(other.known))
        kind = self._random.choice(["get", "patch", "toggle", "delete"])
        change = {"title": "stolen"} if kind == "patch" else {}
        return self._operation(kind, task=task, foreign=True, change=change)

    async def _perform(self, operation: Operation) -> None:
        self._load.history.operations.append(operation)
        failures = 0
        while True:
            attempt, pause = await self._ask(operation)
            operation.attempts.append(attempt)
            self._learn(operation, attempt)
            self._load.told(operation, attempt)
            if 200 <= attempt.status < 300:
                repeats = operation.key is not None and len(operation.attempts) < 5
                if repeats and self._random.random() < 0.1:
                    continue
                return
            definite = 400 <= attempt.status < 500 and attempt.status != 409
            if definite or operation.key is None or self._load.too_late:
                if not definite:
                    await asyncio.sleep(pause)
                return
            failures += 1
            await asyncio.sleep(pause * min(4, failures))

    async def _ask(self, operation: Operation) -> tuple[Attempt, float]:
        """One attempt, and how long a good client waits before another one."""
        path = f"{API}?limit=100" if operation.kind == "list" else API
        if operation.task is not None:
            path += f"/{operation.task}" + ("/toggle" if operation.kind == "toggle" else "")
        headers = {"X-Request-Id": f"o{operation.number}-{len(operation.attempts)}"}
        if operation.key is not None:
            headers["Idempotency-Key"] = operation.key
        if operation.if_match is not None:
            headers["If-Match"] = f'"{operation.if_match}"'
        hangs_up = operation.is_write and operation.key is None and self._random.random() < 0.01
        patience = self._random.uniform(0.002, 0.03) if hangs_up else PATIENCE
        pause = self._random.uniform(0.1, 0.4)
        connection = self._connection
        try:
            answer = await connection.ask(
                METHODS[operation.kind], path, headers, operation.change or None, patience=patience
            )
        except (http.Refused, http.Lost, http.Silent) as failure:
            error = "hungup" if hangs_up else type(failure).__name__.lower()
            return Attempt(connection.sent_at, clock(), 0, error=error), pause
        attempt = _attempt(answer, clock(), is_list=operation.kind == "list")
        if attempt.retry_after:
            pause += int(answer.headers["retry-after"])
        return attempt, pause

    def _learn(self, operation: Operation, attempt: Attempt) -> None:
        if operation.foreign:
            return
        for task in attempt.tasks:
            if not attempt.replayed:
                version = attempt.version or self._user.known.get(task.id)
                self._user.known[task.id] = version
                self._user.origins[task.id] = (task.description or "").partition(" ")[0]
        if attempt.status in {204, 404} and operation.task is not None:
            self._user.known.pop(operation.task, None)


class Load:
    """All clients, the history that they write, and how late the load generator itself is."""

    def __init__(
        self, users: int, ports: dict[str, int], token: Callable[[str], str], seed: int
    ) -> None:
        self.history = History()
        self.numbers = itertools.count(1)
        self.stopping = False
        self.too_late = False
        self.successes: dict[str, list[float]] = {side: [] for side in SIDES}
        self.acknowledged = self.in_doubt = self.troubles = 0
        self.users = [User(f"user-{i}", token(f"user-{i}")) for i in range(users)]
        self._clients = [
            Client(user, side, port, self, seed + index * 2 + which)
            for which, (side, port) in enumerate(ports.items())
            for index, user in enumerate(self.users)
        ]

    def told(self, operation: Operation, attempt: Attempt) -> None:
        """Count an answer for those who watch the run."""
        if attempt.status in {0, 503, 504} and attempt.error != "hungup":
            self.troubles += 1
        if not operation.is_write:
            return
        if 200 <= attempt.status < 300:
            self.acknowledged += attempt is operation.acknowledged
            self.successes[operation.side].append(attempt.answered_at)
        elif operation.outcome is Outcome.IN_DOUBT and len(operation.attempts) == 1:
            self.in_doubt += 1

    async def run(self, campaign: "asyncio.Task[None]") -> History:
        """Keep all clients at it until the campaign ends, then read everything once."""
        watch = asyncio.create_task(self._watch())
        clients = asyncio.gather(*(client.run() for client in self._clients))
        both: list[asyncio.Future[Any]] = [campaign, clients]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            self.stopping = True
            asyncio.get_running_loop().call_later(LAST_CALL, self._close)
            await clients
            await campaign
            await asyncio.gather(*(client.read_all() for client in self._clients))
        finally:
            for running in (*both, watch):
                running.cancel()
            await asyncio.gather(*both, watch, return_exceptions=True)
        return self.history

    def _close(self) -> None:
        self.too_late = True

    async def _watch(self) -> None:
        while True:
            before = clock()
            await asyncio.sleep(TICK)
            if (lag := clock() - before - TICK) > TICK:
                self.history.lags.append((clock(), lag))


def _attempt(answer: http.Answer, now: float, *, is_list: bool) -> Attempt:
    attempt = Attempt(answer.sent_at, now, answer.status)
    attempt.retry_after = "retry-after" in answer.headers
    attempt.replayed = answer.headers.get("idempotency-replayed") == "true"
    if answer.status >= 300:
        attempt.code = orjson.loads(answer.body)["code"]
    elif answer.status != 204:
        body = orjson.loads(answer.body)
        attempt.tasks = tuple(Task.of(item) for item in (body["items"] if is_list else [body]))
    if tag := answer.headers.get("etag"):
        attempt.version = int(tag.strip('"'))
    return attempt


def clock() -> float:
    """The time as the history has it, in seconds."""
    return time.monotonic()
