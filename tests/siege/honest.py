"""The process of the honest users: the load of `faults`, at a human pace."""

import asyncio
import gc
import time
from dataclasses import dataclass

import uvloop
from faults.load import Load
from faults.record import History

USERS = 40
THINK = 0.33  # seconds between two requests of one user, on average
SIDE = "direct"  # the load names its services by their way to the database


@dataclass(frozen=True)
class Work:
    """The work of the honest users. It can be pickled for another process."""

    port: int
    tokens: dict[str, str]
    """By user; the users are `<prefix>-0` and so on."""
    prefix: str
    begins: float
    """A time of the monotonic clock."""
    seconds: float
    seed: int


def work(what: Work) -> History:
    """Do it, read everything once, and return all requests and answers."""
    gc.disable()  # a history contains no garbage; collecting would delay the load
    try:
        return uvloop.run(_work(what))
    finally:
        gc.enable()


async def _work(what: Work) -> History:
    load = Load(
        len(what.tokens),
        {SIDE: what.port},
        what.tokens.__getitem__,
        what.seed,
        prefix=what.prefix,
        think=THINK,
        hang_ups=0,
    )
    await asyncio.sleep(what.begins - time.monotonic())
    return await load.run(asyncio.create_task(asyncio.sleep(what.seconds)))
