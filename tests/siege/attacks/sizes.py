"""Excessive sizes and counts: characters, parameters, fields, tags."""

import asyncio
import secrets

from siege.line import Line, request
from siege.target import TASKS, Target

PAUSE = 0.02  # seconds between two segments
LONG = "a" * 65_600
PARAMETERS = "&".join(f"{number:x}" for number in range(12_000))
FIELDS = ("{" + ",".join(f'"{number:x}":0' for number in range(14_000)) + "}").encode()
TAGS = ", ".join(['"1"'] * 8_800)
SEGMENT = 40_000  # bytes; less than the limit of a head


async def long_url(line: Line, target: Target) -> None:
    """A2: a head in two segments with a too long URL, from a new sender."""
    head = request("GET", f"/api/{LONG}", token=secrets.token_hex(8))
    await line.send(head[:SEGMENT], requests=1)
    await asyncio.sleep(PAUSE)
    await line.send(head[SEGMENT:])
    _refused(line, await line.answer(), "a head of more than 64 KiB was taken")


async def many_parameters(line: Line, target: Target) -> None:
    """A5: thousands of parameters that do not exist."""
    await line.send(
        request("GET", f"{TASKS}?{PARAMETERS}", token=target.tokens["asker"]), requests=1
    )
    _refused(line, await line.answer(), "thousands of parameters were taken")


async def many_fields(line: Line, target: Target) -> None:
    """A5: thousands of fields that do not exist."""
    headers = ("Content-Type: application/json", f"Content-Length: {len(FIELDS)}")
    head = request("POST", TASKS, *headers, token=target.tokens["asker"])
    await line.send(head + FIELDS, requests=1)
    _refused(line, await line.answer(), "thousands of fields were taken")


async def many_tags(line: Line, target: Target) -> None:
    """A5: an If-Match with thousands of tags."""
    headers = ("Content-Type: application/json", "Content-Length: 2", f"If-Match: {TAGS}")
    head = request("PATCH", target.note, *headers, token=target.tokens["hoarder"])
    await line.send(head + b"{}", requests=1)
    _refused(line, await line.answer(), "thousands of tags were taken")


async def long_header(line: Line, target: Target) -> None:
    """A14: a header of 100,000 bytes."""
    await line.send(request("GET", "/livez", f"X-Long: {'a' * 100_000}"), requests=1)
    _refused(line, await line.answer(), "a head of more than 64 KiB was taken")


def _refused(line: Line, status: int, otherwise: str) -> None:
    if status < 300:
        line.breach(otherwise)
