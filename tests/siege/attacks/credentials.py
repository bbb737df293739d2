"""Invalid tokens, and one token in many spellings."""

import random

from siege.line import Line, request
from siege.target import TASKS, Target


async def unknown_key(line: Line, target: Target) -> None:
    """A3: a made-up key id."""
    await _ask(line, target.unknown_key(), "a token under a made-up key counted")


async def forged_signature(line: Line, target: Target) -> None:
    """A3: a known key id with a stranger's signature."""
    await _ask(line, random.choice(target.forged), "a forged token counted")


async def foreign_token(line: Line, target: Target) -> None:
    """B2, B8: a token that was issued to a client, or without a valid subject."""
    await _ask(line, random.choice(target.foreign), "a token for something else counted")


async def spelled_upload(line: Line, target: Target) -> None:
    """A4: an unfinished body, with another spelling of one token."""
    scheme = "".join(random.choice((letter, letter.upper())) for letter in "bearer")
    spelling = f"{scheme}{' ' * random.randint(1, 20)}{target.tokens['crowd']}"
    headers = ("Content-Type: application/json", "Content-Length: 100")
    head = request("POST", TASKS, f"Authorization: {spelling}", *headers)
    await line.send(head + b'{"title":', requests=1)
    await line.hang()


async def keyed_toggle(line: Line, target: Target) -> None:
    """B7: an idempotency key that the service must store, with a long task."""
    key = f"Idempotency-Key: {random.getrandbits(64):x}"
    token = target.tokens["hoarder"]
    await line.send(request("POST", f"{target.note}/toggle", key, token=token), requests=1)
    await line.answer()


async def _ask(line: Line, token: str, otherwise: str) -> None:
    await line.send(request("GET", TASKS, token=token), requests=1)
    if await line.answer() < 300:
        line.breach(otherwise)
