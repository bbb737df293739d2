"""What a kind of proxy is, and where one of it stands."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PREFIX = "/backend"
"""The path that every proxy strips before it asks the service that was told so."""


@dataclass(frozen=True)
class Place:
    """A directory of its own, the port to listen at, and the ports of the two services."""

    home: Path
    port: int
    service: int
    prefixed: int

    @property
    def values(self) -> dict[str, object]:
        """What a template of a configuration may name."""
        return vars(self) | {"prefix": PREFIX}


@dataclass(frozen=True)
class Kind:
    """One proxy in one configuration."""

    name: str
    configure: Callable[[Place], list[str]] | None
    """Writes the configuration and returns the command; None where nothing stands in front."""
    reuses: bool = True
    """Whether a connection to the service is kept for the next request, whoever's it is."""
    alters_tags: bool = False
    """Whether it compresses, and then alters the entity tag."""


def executable(name: str) -> str:
    """Return where a program is; Debian puts some where only root looks."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin") or name


def missing() -> list[str]:
    """Return which of the programs are not installed."""
    names = ("nginx", "caddy", "haproxy", "apache2", "curl")
    return [name for name in names if not Path(executable(name)).is_absolute()]
