"""Many users, each with a client at both services."""

import asyncio
import itertools
import random
from collections.abc import Callable
from typing import Any

from faults.client import HANG_UPS, THINK, Client
from faults.record import History
from faults.tally import Tally, clock
from faults.wishes import User, Wishes

LAST_CALL = 60.0  # seconds after the end in which writes with a key are still retried
TICK = 0.02


class Load:
    """All clients, and the load generator's own delay."""

    def __init__(
        self,
        users: int,
        ports: dict[str, int],
        token: Callable[[str], str],
        seed: int,
        *,
        prefix: str = "user",
        think: float = THINK,
        hang_ups: float = HANG_UPS,
    ) -> None:
        self.tally = Tally()
        names = [f"{prefix}-{i}" for i in range(users)]
        everybody = [User(name, token(name)) for name in names]
        numbers, self._clients = itertools.count(1), list[Client]()
        for side, port in ports.items():
            for user in everybody:
                chance = random.Random(f"{seed} {side} {user.sub}")
                wishes = Wishes(user, side, everybody, numbers, chance)
                client = Client(
                    user, port, wishes, self.tally, chance, think=think, hang_ups=hang_ups
                )
                self._clients.append(client)

    async def run(self, campaign: "asyncio.Task[None]") -> History:
        """Run all clients until the campaign ends, then read everything once."""
        watch = asyncio.create_task(self._watch())
        clients = asyncio.gather(*(client.run() for client in self._clients))
        both: list[asyncio.Future[Any]] = [campaign, clients]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            self.tally.stopping = True
            asyncio.get_running_loop().call_later(LAST_CALL, self._close)
            await clients
            await campaign
            await asyncio.gather(*(client.read_all() for client in self._clients))
        finally:
            for running in (*both, watch):
                running.cancel()
            await asyncio.gather(*both, watch, return_exceptions=True)
        return self.tally.history

    def _close(self) -> None:
        self.tally.too_late = True

    async def _watch(self) -> None:
        while True:
            before = clock()
            await asyncio.sleep(TICK)
            if (lag := clock() - before - TICK) > TICK:
                self.tally.history.lags.append((clock(), lag))
