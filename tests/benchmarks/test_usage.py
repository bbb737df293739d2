"""The lab's CPU measurement: the time of children is included, also of ended ones."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.usage import of_tree

BURN = "import time\nwhile time.process_time() < 0.5: pass\n"


@contextmanager
def parent(code: str) -> Iterator[int]:
    """A process that runs this code, reports it, and then waits for the end of its input."""
    command = [sys.executable, "-c", f"import subprocess, sys\n{code}\nprint(flush=True)\ninput()"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.communicate("\n", timeout=60)


def test_a_single_process() -> None:
    with parent(BURN) as pid:
        assert of_tree(pid).cpu >= 0.45
        assert of_tree(pid).memory > 2**20


def test_an_ended_child() -> None:
    with parent(f"subprocess.run([sys.executable, '-c', {BURN!r}], check=True)") as pid:
        assert of_tree(pid).cpu >= 0.45


def test_a_running_child() -> None:
    waits = f"{BURN}\nprint(flush=True)\ninput()"
    code = (
        f"child = subprocess.Popen([sys.executable, '-c', {waits!r}],"
        " stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "child.stdout.readline()"
    )
    with parent(f"import atexit\n{code}\natexit.register(child.kill)") as pid:
        assert of_tree(pid).cpu >= 0.45


def test_an_idle_process_has_no_usage_of_others() -> None:
    with parent("") as idle, parent(BURN):
        assert of_tree(idle).cpu < 0.45
