"""PgBouncer in front of a PostgreSQL."""

import contextlib
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

from faults.programs import directory_of, ordinary_user
from psycopg2.extensions import make_dsn, parse_dsn

from support.commands import free_port
from support.programs import Program, executable
from support.waiting import listens
from tasks_backend.testing.databases import Cluster

CONFIGURATION = """
[databases]
* = host={socket}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {home}/users
"""


class PgBouncer:
    """Debian's PgBouncer, in front of the directory of a server's Unix socket."""

    def __init__(self, directory: Path, upstream: str, login: str, **settings: object) -> None:
        """The settings are PgBouncer's own."""
        user = ordinary_user()
        self.home = directory_of(user, directory / "pgbouncer")
        self.port = free_port()
        (self.home / "users").write_text(f'"{login}" ""\n')
        common = CONFIGURATION.format(socket=upstream, port=self.port, home=self.home)
        own = "".join(f"{name} = {value}\n" for name, value in settings.items())
        configuration = self.home / "pgbouncer.ini"
        configuration.write_text(common + own)
        command = [executable("pgbouncer"), str(configuration)]
        self._program = Program(command, directory / "pgbouncer.log", user=user)

    def start(self) -> None:
        self._program.start()
        self._program.wait_for(lambda: listens(self.port), "PgBouncer to listen")

    def stop(self) -> None:
        self._program.stop(signal.SIGTERM)

    def kill(self) -> None:
        self._program.kill()


@contextlib.contextmanager
def pooler(cluster: Cluster, login: str, mode: str, size: int, round_robin: int) -> Iterator[str]:
    """A PgBouncer in front of the cluster; yields the options of a URL to it."""
    directory = Path(tempfile.mkdtemp(prefix="tasks-backend-poolers-"))
    directory.chmod(0o755)
    pgbouncer = PgBouncer(
        directory,
        parse_dsn(cluster.url)["host"],
        login,
        pool_mode=mode,
        default_pool_size=size,
        server_round_robin=round_robin,
        query_wait_timeout=20,
    )
    try:
        pgbouncer.start()
        yield make_dsn(host="127.0.0.1", port=pgbouncer.port, user=login, dbname="postgres")
    finally:
        pgbouncer.stop()
        shutil.rmtree(directory, ignore_errors=True)
