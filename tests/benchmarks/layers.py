"""Where the CPU time of a request goes: samples of the service's stack, by layer.

py-spy reads the event loop's Python stack from outside the process. The time of C and of the kernel
so belongs to the line that called it. Other threads mostly wait, which py-spy may take for work, so
they are left out: the log's thread takes about a hundredth.
"""

import contextlib
import re
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from math import sqrt
from pathlib import Path

from support.programs import running

_RATE = "250"  # samples a second

LAYERS = {
    "event loop, reading": ("uvicorn/server.py", "asyncio/runners.py", "uvicorn/_compat.py"),
    "HTTP protocol, writing": (
        "uvicorn/",
        "tasks_backend/serving/http_protocol.py",
        "tasks_backend/serving/connection_bounds.py",
    ),
    "problem details, record": (
        "tasks_backend/http/problem_details.py",
        "tasks_backend/http/request_record.py",
        "starlette/datastructures.py",
    ),
    "log": ("tasks_backend/http/access_log.py", "tasks_backend/serving/log_", "/logging/"),
    "FastAPI, Starlette": ("fastapi/", "starlette/"),
    "routing": ("tasks_backend/http/router.py", "tasks_backend/http/resource.py"),
    "limiter": ("tasks_backend/http/limiter.py",),
    "signature": (
        "jwt/algorithms.py in verify",
        "nacl/",
        "tasks_backend/auth/ed25519.py",
    ),
    "gate, token": ("tasks_backend/auth/", "jwt/"),
    "body, parameters": ("tasks_backend/http/", "pydantic/"),
    "deadline": ("asyncio/timeouts.py",),
    "disconnect watch": ("tasks_backend/db/disconnect.py",),
    "pool, fair queue": ("tasks_backend/db/pool.py", "tasks_backend/db/fair_queue.py"),
    "connection, psycopg2": ("tasks_backend/db/connection.py", "psycopg2/"),
    "database, retries": ("tasks_backend/db/",),
    "rows to JSON": ("tasks/v1.py in _json", "tasks/v1.py in _task", "list_statements.py in "),
    "endpoint": ("tasks_backend/tasks/",),
}
"""The layers, each with its files, or one function of them. The longest text that fits decides."""

_EVENT_LOOP = "asyncio/runners.py"
_FRAME = re.compile(r"(?P<function>.+) \((?P<file>.+):\d+\)")


@contextlib.contextmanager
def sampled(pid: int, stacks: Path) -> Iterator[None]:
    """Sample a process until the block ends, and write its stacks to the file."""
    py_spy = str(Path(sys.executable).with_name("py-spy"))
    options = ("--format=raw", "--full-filenames", "--rate", _RATE, "--output", str(stacks))
    command = [py_spy, "record", "--pid", str(pid), *options]
    with running(command, stacks.with_suffix(".log"), {}, ending=signal.SIGINT):
        yield


def layers(stacks: str) -> Counter[str]:
    """Return the number of samples of each layer."""
    counts = Counter[str]()
    for line in stacks.splitlines():
        stack, _, number = line.rpartition(" ")
        if _EVENT_LOOP in stack:
            counts[_layer(_frames(stack))] += int(number)
    return counts


def error(share: float, samples: int) -> float:
    """Return the half of the 95 % interval of a share."""
    return 1.96 * sqrt(share * (1 - share) / samples)


def _frames(stack: str) -> list[str]:
    """Return the files and functions of a stack, innermost first."""
    found = map(_FRAME.fullmatch, reversed(stack.split(";")))
    return [f"{frame['file']} in {frame['function']}" for frame in found if frame]


def _layer(stack: Sequence[str]) -> str:
    """Return the layer of the innermost frame that belongs to one, at last the event loop's."""
    for frame in stack:
        fits = [
            (len(part), layer) for layer, parts in LAYERS.items() for part in parts if part in frame
        ]
        if fits:
            return max(fits)[1]
    raise ValueError("not the event loop's stack")
