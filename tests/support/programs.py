"""Programs as child processes: started, waited for, and ended by their process ids."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import pytest

from tasks_backend.testing.waiting import until

LOG = "server.log"
STOP_TIMEOUT = 40  # seconds, on a busy machine
PLACES = f"{os.environ['PATH']}{os.pathsep}/usr/sbin:/sbin"  # Debian installs some programs there


def executable(name: str) -> str:
    """Return the path of an installed program, else its name."""
    return shutil.which(name, path=PLACES) or name


def require(*programs: str) -> None:
    """Skip a test without these programs; in CI it fails."""
    if missing := [name for name in programs if shutil.which(name, path=PLACES) is None]:
        refuse = pytest.fail if os.environ.get("CI") else pytest.skip
        refuse(f"not installed: {', '.join(missing)}")


def attempt(
    *command: str | Path,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout: float = 60,
    typed: str | None = None,
    user: str | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end, without a terminal; a failure raises nothing."""
    return subprocess.run(
        command,
        cwd=directory,
        env=environment,
        input=typed or "",
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        user=user,
    )


def output(*command: str | Path, **options: Any) -> str:
    """Run a program to its end, which must be good, and return what it printed."""
    done = attempt(*command, **options)
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


class Program:
    """One program, in a session of its own. It can be started again; `log` keeps its output."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        *,
        directory: Path | None = None,
        user: str | None = None,
    ) -> None:
        self.log = log
        self._command = command
        self._directory = directory or log.parent
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(self._directory)}
        self._environment |= environment or {"LC_ALL": "C"}
        self._user = user

    def start(self, output: IO[bytes] | int | None = None) -> None:
        """Start it; without an `output`, its output is added to the log."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                env=self._environment,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=output or log,
                stderr=subprocess.STDOUT,
                user=self._user,
                group=None if self._user is None else pwd.getpwnam(self._user).pw_gid,
                extra_groups=None if self._user is None else [],
                start_new_session=True,  # Ctrl-C goes to the test run, which then ends its programs
            )

    @property
    def running(self) -> bool:
        return hasattr(self, "process") and self.process.poll() is None

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_for(self, condition: Callable[[], bool], what: str, pause: float = 0.02) -> None:
        """Return once the condition holds; fail with the end of its log if the program ends."""

        def holds() -> bool:
            assert self.running, f"{what}: it ended"
            return condition()

        try:
            until(holds, what, pause)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.tail()}") from error

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def stop(self, number: int = signal.SIGTERM, timeout: float = STOP_TIMEOUT) -> None:
        """End it with a signal; SIGINT goes to the whole session, as in a terminal.
        What is left of the session then is killed.
        """
        if not self.running:
            return
        (os.killpg if number == signal.SIGINT else os.kill)(self.pid, number)
        try:
            self.process.wait(timeout)
        finally:
            self._kill_session()

    def kill(self) -> None:
        """Kill it with its whole session, if it runs."""
        if self.running:
            self._kill_session()

    def _kill_session(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait(STOP_TIMEOUT)

    def tail(self) -> str:
        """The last lines of its log, without those of single requests."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join([line for line in lines if "tasks_backend.requests" not in line][-30:])


@contextlib.contextmanager
def running(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str],
    ready: Callable[[], bool] = lambda: True,
    *,
    directory: Path | None = None,
    ending: int = signal.SIGTERM,
) -> Iterator[Program]:
    """Run a server until the block ends, from when it is ready."""
    log.unlink(missing_ok=True)
    program = Program(command, log, environment, directory=directory)
    program.start()
    try:
        program.wait_for(ready, f"{Path(command[0]).name} to be ready")
        yield program
    finally:
        program.stop(ending)
