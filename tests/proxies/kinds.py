"""A kind of proxy, and the directory and ports of an instance."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PREFIX = "/backend"
"""The path that every proxy strips for the service with `--root-path`."""


@dataclass(frozen=True)
class Place:
    """A separate directory, the port to listen on, and the ports of the two services."""

    home: Path
    port: int
    service: int
    prefixed: int

    @property
    def values(self) -> dict[str, object]:
        """The variables of a configuration template."""
        return vars(self) | {"prefix": PREFIX}


@dataclass(frozen=True)
class Kind:
    """One proxy in one configuration."""

    name: str
    configure: Callable[[Place], list[str]] | None
    """Writes the configuration and returns the command; None without a proxy."""
    reuses: bool = True
    """Whether a connection to the service is reused for the next request of any client."""
    alters_tags: bool = False
    """Whether it compresses and so changes the entity tag."""
