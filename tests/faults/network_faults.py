"""A bad network to the database, simulated by proxy.py."""

from typing import ClassVar

from faults.deployment import SIDES
from faults.fault import Fault


class BadNetwork(Fault):
    """Both services have the same network fault."""

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
    """The worst case for retries: the write was done, and the answer is lost."""

    name, mode = "answers lost", "mute"
    lasts = (0.3, 1.5)


class Refuse(BadNetwork):
    name, mode = "connections refused", "refuse"
