"""A running proxy in front of the service."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.commands import free_port
from support.programs import LOG, running
from support.waiting import listens

from proxies.kinds import PREFIX, Kind, Place
from proxies.relay import Relay


@dataclass(frozen=True)
class Services:
    """The ports of the service, and of one with `--root-path` for proxies that strip a path."""

    plain: int
    prefixed: int


@dataclass(frozen=True)
class Running:
    """One proxy, its port for clients, and the relay to the service."""

    kind: Kind
    port: int
    upstream: Relay

    prefixed_url: str
    """The address of the service with `--root-path`, for the path that the proxy strips."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def shares(self) -> bool:
        """Whether the next request reuses the existing connection to the service."""
        return self.kind.reuses or self.kind.configure is None


@contextlib.contextmanager
def running_proxy(kind: Kind, home: Path, services: Services) -> Iterator[Running]:
    """Run a proxy until the block ends."""
    with Relay(services.plain) as relay:
        if kind.configure is None:
            yield Running(kind, relay.port, relay, f"http://127.0.0.1:{services.prefixed}")
            return
        port = free_port()
        command = kind.configure(Place(home, port, relay.port, services.prefixed))
        with running(command, home / LOG, {}, lambda: listens(port)):
            yield Running(kind, port, relay, f"http://127.0.0.1:{port}{PREFIX}")
