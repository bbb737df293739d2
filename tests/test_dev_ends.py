"""Nothing outlives `tasks-backend dev`, whatever ends it, and the next one on its directory starts."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from support.commands import COMMAND, environment, free_port
from support.plugins import install_plugin
from support.programs import Program
from support.waiting import listens

from tasks_backend.testing.waiting import until

DEV = [*COMMAND[1:], "dev"]
# Below `nohup`, the signal of a closed terminal would be ignored.
TERMINAL = (
    "import pty, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL); pty.spawn(sys.argv[1:])"
)
PARENT = "import subprocess, sys; subprocess.run(sys.argv[1:])"


@dataclass
class Dev:
    """A running `dev`, perhaps below a parent, and all processes that belong to it."""

    program: Program
    data: Path

    @property
    def itself(self) -> psutil.Process:
        started = psutil.Process(self.program.pid)
        family = [started, *started.children(recursive=True)]
        return next(process for process in family if process.cmdline()[1:4] == DEV)

    @property
    def service(self) -> psutil.Process:
        """The process that serves: the one that a reload replaces."""
        (found,) = [p for p in self.itself.children() if "spawn_main" in str(p.cmdline())]
        return found

    def family(self) -> set[psutil.Process]:
        """The processes of `dev` and of PostgreSQL, without the parent."""
        server = postmaster(self.data / "postgres")
        return {self.itself, *self.itself.children(recursive=True), server, *server.children()}


def postmaster(data: Path) -> psutil.Process:
    return psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))


@contextlib.contextmanager
def running(home: Path, *options: str, below: str = "", **variables: str) -> Iterator[Dev]:
    """`dev`, serving, perhaps below a program that gets its command. The block must end it."""
    port = free_port()
    parent = [sys.executable, "-c", below] if below else []
    command = [*parent, *COMMAND, "dev", "--port", str(port), "--data-dir", "data", *options]
    program = Program(command, home / "dev.log", environment(home, **variables))
    program.start()
    family: set[psutil.Process] = set()
    try:
        program.wait_for(lambda: listens(port), "dev to serve")
        dev = Dev(program, home / "data")
        family = dev.family()
        yield dev
        until(lambda: not any(map(is_running, family)), "all processes to end")
    finally:
        for process in filter(is_running, family):
            process.kill()
        program.kill()


def is_running(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def kill(dev: Dev) -> None:
    dev.itself.kill()


def kill_the_group(dev: Dev) -> None:
    os.killpg(dev.program.pid, signal.SIGKILL)


def terminate(dev: Dev) -> None:
    dev.itself.terminate()


def interrupt(dev: Dev) -> None:
    os.killpg(dev.program.pid, signal.SIGINT)


def interrupt_twice(dev: Dev) -> None:
    interrupt(dev)
    time.sleep(0.3)
    interrupt(dev)


def interrupt_after_a_crash(dev: Dev) -> None:
    dev.service.kill()
    interrupt(dev)


def kill_the_parent(dev: Dev) -> None:
    dev.program.process.kill()


NO_RELOAD = ("--no-reload",)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One directory for all tests: each start is the next one after an end."""
    return tmp_path_factory.mktemp("home")


@pytest.mark.parametrize(
    ("way", "options", "below"),
    [
        (interrupt_twice, (), ""),
        (interrupt_after_a_crash, (), ""),
        (kill, (), ""),
        (kill_the_parent, (), TERMINAL),
        (kill_the_parent, ("--with-parent",), PARENT),
        (terminate, NO_RELOAD, ""),
        (kill_the_group, NO_RELOAD, ""),
    ],
)
def test_nothing_outlives_dev(
    home: Path, way: Callable[[Dev], None], options: tuple[str, ...], below: str
) -> None:
    with running(home, *options, below=below) as dev:
        way(dev)
    assert not (home / "data/postgres/postmaster.pid").exists()


HANGING = """
import time
from contextlib import asynccontextmanager
from tasks_backend import Plugin

@asynccontextmanager
async def hang(app):
    yield
    time.sleep(3600)

plugin = Plugin("hanging", lifespan=hang)
"""


def test_a_plugin_that_hangs_does_not_keep_dev(tmp_path: Path) -> None:
    install_plugin(tmp_path, "hanging", HANGING)
    with running(tmp_path, PLUGINS="hanging", PYTHONPATH=str(tmp_path)) as dev:
        interrupt(dev)


SERVER = """
import sys
from pathlib import Path
from tasks_backend.dev.postgres import embedded
with embedded(Path(sys.argv[1])):
    print("ready", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def server(data: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that runs PostgreSQL on this directory until the block ends."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, str(data)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        yield process


def is_ready(process: "subprocess.Popen[str]") -> bool:
    return process.stdout is not None and process.stdout.readline() == "ready\n"


def test_the_next_start_stops_a_server_whose_guard_was_killed(tmp_path: Path) -> None:
    data = tmp_path / "postgres"
    with server(data) as first:
        assert is_ready(first)
        left = postmaster(data)
        for process in [*psutil.Process(first.pid).children(), psutil.Process(first.pid)]:
            process.kill()
    assert is_running(left)
    with server(data) as second:
        assert is_ready(second)
        assert not is_running(left)


def test_a_process_with_the_id_of_an_earlier_server_is_left_alone(tmp_path: Path) -> None:
    data = tmp_path / "postgres"
    with server(data) as first:
        assert is_ready(first)
        text = (data / "postmaster.pid").read_text()
        pid = str(postmaster(data).pid)
    (data / "postmaster.pid").write_text(text.replace(pid, str(os.getpid()), 1))
    with server(data) as second:
        assert is_ready(second)


def test_an_interrupted_first_start_does_not_spoil_the_next(tmp_path: Path) -> None:
    """Killed while initdb fills the data directory."""
    data = tmp_path / "postgres"
    with server(data) as first:
        until(lambda: any(tmp_path.glob("postgres*/global")), "initdb to work")
        os.killpg(first.pid, signal.SIGKILL)
    with server(data) as second:
        assert is_ready(second)
    assert list(tmp_path.iterdir()) == [data]
