"""The service with one worker on a separate database."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from support import commands

from benchmarks.environment import environment


@contextlib.contextmanager
def serving(database: str, key_set: str, home: Path) -> Iterator[str]:
    """Run the service until the block ends, and yield its base address."""
    with commands.serving(home, LOG_LEVEL="warning", **environment(database, key_set)) as base:
        yield base
