"""Where the CPU time of a request goes: samples of the service's stack, by layer.

A timer of CPU time interrupts the process, in C and in the kernel too, and `faulthandler` writes the
Python stack at once. The time of C and of the kernel so belongs to the line that called it.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from math import sqrt

SAMPLED = """
import faulthandler, runpy, signal, sys
stacks = open(sys.argv.pop(1), "wb")
signal.signal(signal.SIGPROF, signal.SIG_IGN)
faulthandler.register(signal.SIGPROF, stacks, all_threads=False, chain=True)
signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001)
runpy.run_module("tasks_backend", run_name="__main__", alter_sys=True)
"""
"""Runs the command line, and writes a stack to the file for each tick of the kernel (1 to 10 ms).

Only with `chain` does faulthandler restore errno. Without it, libpq takes an empty socket for a failed one.
A stack that is written while a frame is being made can end the process (seen twice): run it again.
"""

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

OTHER = "other"
_FRAME = re.compile(r'^  File "(?P<file>[^"]*)", line \d+ (?P<function>in .*)$')


def layers(stacks: str) -> Counter[str]:
    """Return the number of samples of each layer."""
    return Counter(_layer(stack) for stack in _parsed(stacks))


def error(share: float, samples: int) -> float:
    """Return the half of the 95 % interval of a share."""
    return 1.96 * sqrt(share * (1 - share) / samples)


def _parsed(stacks: str) -> Iterator[list[str]]:
    """Yield the frames of each stack, innermost first."""
    for stack in re.split(r"^Stack .*$", stacks, flags=re.MULTILINE)[1:]:
        found = map(_FRAME.match, stack.splitlines())
        yield [f"{frame['file']} {frame['function']}" for frame in found if frame]


def _layer(stack: Sequence[str]) -> str:
    """Return the layer of the innermost frame that belongs to one."""
    for frame in stack:
        fits = [
            (len(part), layer) for layer, parts in LAYERS.items() for part in parts if part in frame
        ]
        if fits:
            return max(fits)[1]
    return OTHER
