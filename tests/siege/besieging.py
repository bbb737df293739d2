"""The process of all attackers."""

import asyncio
import time

import uvloop

from siege.attacks.kinds import Attack, with_companions
from siege.line import Cost, Gone, Line
from siege.target import Target


def besiege(
    target: Target, names: tuple[str, ...], begins: float, seconds: float
) -> dict[str, Cost]:
    """Run these attacks from this monotonic time on, and return the cost of each.

    At the end every connection is closed.
    """
    return uvloop.run(_all(target, with_companions(names), begins, seconds))


async def _all(
    target: Target, attacks: list[Attack], begins: float, seconds: float
) -> dict[str, Cost]:
    costs = {attack.name: Cost() for attack in attacks}
    await asyncio.sleep(begins - time.monotonic())
    async with asyncio.TaskGroup() as group:
        for attack in attacks:
            group.create_task(_keep_at_it(target, attack, costs[attack.name], seconds))
    return costs


async def _keep_at_it(target: Target, attack: Attack, cost: Cost, seconds: float) -> None:
    """Start attempts at the attack's rate, while it has free connections."""
    loop = asyncio.get_running_loop()
    running = set[asyncio.Task[None]]()
    most = attack.most(target)
    due = loop.time()
    end = due + seconds
    async with asyncio.TaskGroup() as group:
        while due < end:
            await asyncio.sleep(due - loop.time())
            if len(running) < most:
                task = group.create_task(_attempt(target, attack, cost))
                running.add(task)
                task.add_done_callback(running.discard)
            due += 1 / attack.rate
        for task in running:
            task.cancel()


async def _attempt(target: Target, attack: Attack, cost: Cost) -> None:
    cost.attempts += 1
    line = Line(target.port, cost, reads=attack.reads)
    try:
        await line.open()
        await attack.attempt(line, target)
    except (Gone, OSError):
        pass  # the service closed it, or accepts no more
    finally:
        line.close()
