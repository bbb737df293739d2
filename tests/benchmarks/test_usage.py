"""What the lab rests on: CPU time is counted with that of children, also of those that have ended."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.usage import of_tree

BURN = "import time\nwhile time.process_time() < 0.5: pass\n"


@contextmanager
def parent(code: str) -> Iterator[int]:
    """A process that runs this code, says so, and then waits for its input's end."""
    command = [sys.executable, "-c", f"import subprocess, sys\n{code}\nprint(flush=True)\ninput()"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.communicate("\n", timeout=60)


def test_a_process_of_its_own() -> None:
    with parent(BURN) as pid:
        assert of_tree(pid).cpu >= 0.45
        assert of_tree(pid).memory > 2**20


def test_a_child_that_has_ended() -> None:
    with parent(f"subprocess.run([sys.executable, '-c', {BURN!r}], check=True)") as pid:
        assert of_tree(pid).cpu >= 0.45


def test_a_child_that_runs() -> None:
    waits = f"{BURN}\nprint(flush=True)\ninput()"
    code = (
        f"child = subprocess.Popen([sys.executable, '-c', {waits!r}],"
        " stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "child.stdout.readline()"
    )
    with parent(f"import atexit\n{code}\natexit.register(child.kill)") as pid:
        assert of_tree(pid).cpu >= 0.45


def test_a_process_that_does_nothing_is_not_charged_for_others() -> None:
    with parent("") as idle, parent(BURN):
        assert of_tree(idle).cpu < 0.45
