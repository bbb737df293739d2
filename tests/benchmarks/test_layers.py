"""How a request's CPU time is divided among the layers of the service: a table."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.commands import free_port
from support.markdown import table
from support.programs import LOG, require, running
from support.waiting import listens

from benchmarks.data import Data
from benchmarks.environment import environment
from benchmarks.lab import sample
from benchmarks.layers import LAYERS, error, layers, sampled
from benchmarks.operations import Operations
from benchmarks.servers import SERVERS
from benchmarks.starting import Running
from tasks_backend.testing.key_server import KeyServer

SHOWN = ("get", "list", "patch")
STACKS = """\
run (/lib/asyncio/runners.py:118);subject (/srv/tasks_backend/auth/tokens.py:100);base64url_decode (/lib/site-packages/jwt/utils.py:33);b64decode (/lib/python3.11/base64.py:58) 2
run (/lib/asyncio/runners.py:118);list_tasks (/srv/tasks_backend/tasks/v1.py:300);_json (/srv/tasks_backend/tasks/v1.py:313) 1
main (/srv/main.py:1) 3
run (/lib/asyncio/runners.py:118) 4
"""


def test_a_sample_belongs_to_the_innermost_layer() -> None:
    assert layers(STACKS) == {"gate, token": 2, "rows to JSON": 1, "event loop, reading": 4}


def test_cost_of_each_layer(
    database: str,
    data: Data,
    operations: Operations,
    key_server: KeyServer,
    pytestconfig: pytest.Config,
    tmp_path: Path,
    report: Callable[[str], None],
) -> None:
    require("wrk")
    seconds = 5 * pytestconfig.getoption("bench_seconds")
    port, stacks = free_port(), tmp_path / "stacks.txt"
    command = [sys.executable, "-m", "tasks_backend", "serve", "--port", str(port)]
    variables = environment(database, key_server.url)
    columns, totals = [], []
    with running(command, tmp_path / LOG, variables, lambda: listens(port)) as program:
        server = Running(SERVERS[0], f"http://127.0.0.1:{port}", program.pid)
        for operation in SHOWN:
            sample(server, operation, operations, data, data.postmaster(), 1)  # warms up
            with sampled(program.pid, stacks):
                taken = sample(server, operation, operations, data, data.postmaster(), seconds)
            assert not taken.burst.errors
            counts = layers(stacks.read_text())
            cpu, number = taken.server_cpu * 1e6, counts.total()
            shares = {layer: counts[layer] / number for layer in LAYERS}
            columns.append(
                {layer: (cpu * s, cpu * error(s, number)) for layer, s in shares.items()}
            )
            totals.append(f"{cpu:.0f}, {number} samples")
    report(
        "\nCPU of the service by layer, in µs per request; the 95 % error of sampling is behind ±.\n"
    )
    rows = [
        (layer, *(f"{cost:.0f} ±{wrong:.0f}" for cost, wrong in (each[layer] for each in columns)))
        for layer in LAYERS
    ]
    report(table(("", *SHOWN), [*rows, ("all", *totals)]))
