"""`tasks-backend dev` as a process, and tokens from its command."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from support.commands import run, serving

LEEWAY = 10  # seconds for which the service still accepts an expired token


@contextlib.contextmanager
def development(directory: Path) -> Iterator[dict[str, str]]:
    """Run it in a directory; yield the collection's environment, as filled in by a user."""
    with serving(directory, "--no-reload", "--data-dir", "data", start="dev") as url:
        expired, minted = _token(directory, "alice", "--ttl", "1"), time.monotonic()
        values = {
            "baseUrl": url,
            "token": _token(directory, "alice"),
            "otherToken": _token(directory, "bob"),
            "expiredToken": expired,
        }
        time.sleep(max(0, minted + 1 + LEEWAY + 1 - time.monotonic()))
        yield values


def _token(directory: Path, *arguments: str) -> str:
    done = run(directory, "token", *arguments, "--data-dir", "data")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
