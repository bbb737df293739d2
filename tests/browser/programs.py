"""`tasks-backend dev` as a separate process."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.commands import process


@dataclass(frozen=True)
class Development:
    """A running `tasks-backend dev`, and its printed token."""

    url: str
    token: str


@contextlib.contextmanager
def development(home: Path, **variables: str) -> Iterator[Development]:
    """Run `dev` in a directory until the block ends."""
    with process(home, start="dev", ready="/readyz", **variables) as (program, url):
        text = program.log.read_text()
        token = re.search(r"^ey[\w.-]+$", text, re.MULTILINE)
        assert token, text
        yield Development(url, token[0])
