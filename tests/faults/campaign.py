"""The faults of a run, one after another, drawn from a seed."""

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from faults.deployment import SIDES, Deployment
from faults.fault import Fault, Unavailable
from faults.tally import Tally, clock

SETTLE = (1.5, 3.0)  # seconds without a fault before each one
ENOUGH = 10  # kinds, if at least that many are selected
GIVE_UP = 60.0  # seconds in which a service must recover by itself


@dataclass
class Event:
    """One injected fault. `back` is the time of each side's next acknowledged write."""

    name: str
    began: float
    ended: float = 0.0
    back: dict[str, float] = field(default_factory=dict)


@dataclass
class Campaign:
    """The injected faults, and those that were not possible."""

    events: list[Event] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    now: str = ""
    broken: str = ""
    """The reason why a fault could not be healed; no other follows it."""

    @property
    def done(self) -> set[str]:
        """The names of the injected kinds."""
        return {event.name for event in self.events}

    async def run(
        self,
        deployment: Deployment,
        tally: Tally,
        kinds: tuple[type[Fault], ...],
        chance: random.Random,
        seconds: float,
        tell: Callable[[str], None],
    ) -> None:
        """Inject faults until the time is over and enough kinds were injected, each kind once
        before any is repeated.
        """
        end = clock() + seconds
        for kind in _drawn(kinds, chance):
            self.now = ""
            await asyncio.sleep(chance.uniform(*SETTLE))
            possible = len(kinds) - len(self.skipped)
            if not possible or (clock() >= end and len(self.done) >= min(ENOUGH, possible)):
                return
            if kind.name in self.skipped:
                continue
            fault, self.now = kind(deployment, chance), kind.name
            try:
                event = await self._do(fault, chance)
            except Unavailable as reason:
                self.skipped[kind.name] = str(reason)
                tell(f"skipped: {kind.name}: {reason}")
                continue
            except AssertionError as reason:
                self.broken = f"{kind.name}: {reason}"
                tell(f"BROKEN: {self.broken}")
                return
            self.events.append(event)
            await _recovered(event, tally)
            shown = (
                f"{side} back after {event.back[side] - event.ended:.2f} s"
                if side in event.back
                else f"{side} NOT BACK"
                for side in SIDES
            )
            tell(f"{event.name} ({event.ended - event.began:.1f} s): {', '.join(shown)}")

    async def _do(self, fault: Fault, chance: random.Random) -> Event:
        event = Event(fault.name, clock())
        await asyncio.to_thread(fault.inject)
        try:
            await asyncio.sleep(chance.uniform(*fault.lasts))
        finally:
            await asyncio.to_thread(fault.heal)
        event.ended = clock()
        return event


def _drawn(kinds: tuple[type[Fault], ...], chance: random.Random) -> Iterator[type[Fault]]:
    while True:
        yield from chance.sample(kinds, len(kinds))


async def _recovered(event: Event, tally: Tally) -> None:
    """Wait until each side has an acknowledged write after the fault's end."""
    while len(event.back) < len(SIDES) and clock() < event.ended + GIVE_UP:
        for side in SIDES:
            later = [at for at in tally.successes[side][-200:] if at >= event.ended]
            if later and side not in event.back:
                event.back[side] = later[0]
        await asyncio.sleep(0.02)
