"""A good client: one connection, one request at a time, retries only with a key."""

import asyncio
import random

import orjson

from faults import http
from faults.deployment import REQUEST_TIMEOUT
from faults.record import Attempt, Operation, Task
from faults.tally import Tally, clock
from faults.wishes import User, Wishes

API = "/api/v1/tasks"
PATIENCE = REQUEST_TIMEOUT + 4  # seconds of a client's timeout, well beyond the service's deadline
THINK = 0.1  # seconds between two operations of a client, on average
HANG_UPS = 0.01  # the share of writes whose client does not wait for the answer
METHODS = {
    "create": "POST", "get": "GET", "list": "GET", "patch": "PATCH", "put": "PUT",
    "toggle": "POST", "delete": "DELETE", "patch_all": "PATCH", "delete_all": "DELETE",
}  # fmt: skip


class Client:
    """One client of one user at one service.

    `think` is the mean time between two operations, in seconds; `hang_ups` is the share of writes
    after which it disconnects without waiting for the answer.
    """

    def __init__(
        self,
        user: User,
        port: int,
        wishes: Wishes,
        tally: Tally,
        chance: random.Random,
        *,
        think: float = THINK,
        hang_ups: float = HANG_UPS,
    ) -> None:
        self._user = user
        self._wishes = wishes
        self._tally = tally
        self._random = chance
        self._think = think
        self._hang_ups = hang_ups
        self._connection = http.Connection(port, user.token)

    async def run(self) -> None:
        try:
            while not self._tally.stopping:
                await asyncio.sleep(self._random.expovariate(1 / self._think))
                await self._perform(self._wishes.next())
        finally:
            await self._connection.close()

    async def read_all(self) -> None:
        """Read everything once, as the last operations of the history."""
        await self._perform(self._wishes.operation("list"))
        for task in list(self._user.known):
            await self._perform(self._wishes.operation("get", task=task))
        await self._connection.close()

    async def _perform(self, operation: Operation) -> None:
        self._tally.history.operations.append(operation)
        failures = 0
        while True:
            attempt, pause = await self._ask(operation)
            operation.attempts.append(attempt)
            self._learn(operation, attempt)
            self._tally.told(operation, attempt)
            if 200 <= attempt.status < 300:
                repeats = operation.key is not None and len(operation.attempts) < 5
                if repeats and self._random.random() < 0.1:
                    continue
                return
            definite = 400 <= attempt.status < 500 and attempt.status != 409
            if definite or operation.key is None or self._tally.too_late:
                if not definite:
                    await asyncio.sleep(pause)
                return
            failures += 1
            await asyncio.sleep(pause * min(4, failures))

    async def _ask(self, operation: Operation) -> tuple[Attempt, float]:
        """One attempt, and the seconds a good client waits before the next one."""
        path = f"{API}?limit=100" if operation.kind == "list" else API
        if (selection := operation.selection) is not None:
            path += f"?completed={str(selection.completed).lower()}"
            path += f"&q={selection.q}" if selection.q else ""
        if operation.task is not None:
            path += f"/{operation.task}" + ("/toggle" if operation.kind == "toggle" else "")
        headers = {"X-Request-Id": f"o{operation.number}-{len(operation.attempts)}"}
        if operation.key is not None:
            headers["Idempotency-Key"] = operation.key
        if operation.if_match is not None:
            headers["If-Match"] = f'"{operation.if_match}"'
        hangs_up = operation.is_write and self._random.random() < self._hang_ups
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
        attempt = _attempt(answer, clock(), operation)
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


def _attempt(answer: http.Answer, now: float, operation: Operation) -> Attempt:
    attempt = Attempt(answer.sent_at, now, answer.status)
    attempt.retry_after = "retry-after" in answer.headers
    attempt.replayed = answer.headers.get("idempotency-replayed") == "true"
    if answer.status >= 300:
        attempt.code = orjson.loads(answer.body)["code"]
    elif operation.selection is not None:
        (attempt.count,) = orjson.loads(answer.body).values()
    elif answer.status != 204:
        body = orjson.loads(answer.body)
        items = body["items"] if operation.kind == "list" else [body]
        attempt.tasks = tuple(Task.of(item) for item in items)
    if tag := answer.headers.get("etag"):
        attempt.version = int(tag.strip('"'))
    return attempt
