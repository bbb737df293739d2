"""Waiting for a condition, on a machine that may be busy."""

import time
from collections.abc import Callable

PATIENCE = 60  # seconds until the test fails


def until(condition: Callable[[], bool], what: str = "the condition", pause: float = 0.005) -> None:
    """Return once the condition holds. Fails the test after 60 s; `what` names it."""
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, f"waited {PATIENCE} s for {what}"
        time.sleep(pause)
