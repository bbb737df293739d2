"""Child processes: run as an ordinary user where root is not allowed, ended by process id."""

import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

START_TIMEOUT = 60  # seconds, on a busy machine
STOP_TIMEOUT = 40


class Program:
    """One program that can be started, killed, frozen and restarted; its log is kept."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        self.log = log
        self._command = list(command)
        self._environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", **(environment or {})}
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None, "it was never started"
        return self._process.pid

    def start(self) -> None:
        assert not self.running, "it runs already"
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                cwd=self.log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                user=self._user,
                group=None if self._user is None else pwd.getpwnam(self._user).pw_gid,
                extra_groups=None if self._user is None else [],
                start_new_session=True,  # Ctrl-C goes to the test run, which then ends its programs
            )

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it with SIGTERM; kill it with all its children if this takes too long."""
        if not self.running:
            return
        assert self._process is not None
        self.send(number)
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """kill -9, then wait until its children have ended by themselves."""
        if not self.running:
            return
        assert self._process is not None
        family = self.children()
        self._process.kill()
        self._process.wait()
        _, alive = psutil.wait_procs(family, timeout=STOP_TIMEOUT)
        for process in alive:
            process.kill()

    def children(self) -> list[psutil.Process]:
        if not self.running:
            return []
        found: list[psutil.Process] = psutil.Process(self.pid).children(recursive=True)
        return found

    def tail(self) -> str:
        """The last lines of its log, without those of single requests."""
        if not self.log.exists():
            return ""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join([line for line in lines if "tasks_backend.requests" not in line][-30:])


def ordinary_user() -> str | None:
    """The user for programs that refuse to run as root; None if no change is needed."""
    return "nobody" if os.geteuid() == 0 else None


def directory_of(user: str | None, path: Path) -> Path:
    """A directory that this user may write to."""
    path.mkdir(mode=0o755)
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(path, entry.pw_uid, entry.pw_gid)
    return path


def wait_until(
    condition: Callable[[], bool], what: str, program: Program | None = None, pause: float = 0.02
) -> None:
    """Wait until a condition holds. If the program ends instead, raise with its log."""
    give_up = time.monotonic() + START_TIMEOUT
    while not condition():
        shown = program.tail() if program is not None else ""
        assert program is None or program.running, f"{what}: it ended\n{shown}"
        assert time.monotonic() < give_up, f"waited {START_TIMEOUT} s for {what}\n{shown}"
        time.sleep(pause)
