"""The way to the database is bad: proxy.py plays it."""

from typing import ClassVar

from faults.deployment import SIDES
from faults.fault import Fault


class BadNetwork(Fault):
    """Both services lose their way to the database in the same manner."""

    lasts = (3.0, 7.0)
    mode: ClassVar[str]

    def inject(self) -> None:
        for side in SIDES:
            self.at.networks[side].turn(self.mode)

    def heal(self) -> None:
        for side in SIDES:
            self.at.networks[side].turn("flow")


class Blackhole(BadNetwork):
    name, mode = "blackhole", "swallow"


class Stall(BadNetwork):
    name, mode = "network stalls", "hold"


class Delay(BadNetwork):
    name, mode = "network slow", "delay"


class Mute(BadNetwork):
    """The worst for whoever repeats what failed: it was done, and nobody said so."""

    name, mode = "answers lost", "mute"
    lasts = (0.3, 1.5)


class Refuse(BadNetwork):
    name, mode = "connections refused", "refuse"
