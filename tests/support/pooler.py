"""PgBouncer in front of a cluster."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg2
from faults.programs import directory_of, ordinary_user
from psycopg2.extensions import make_dsn

from support.commands import free_port
from support.programs import Program, executable
from support.waiting import listens
from tasks_backend.testing.databases import Cluster

CONFIGURATION = """
[databases]
* = host={host}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {home}/users
pool_mode = {mode}
default_pool_size = {size}
server_round_robin = {round_robin}
query_wait_timeout = 20
"""


@contextlib.contextmanager
def pooler(cluster: Cluster, login: str, mode: str, size: int, round_robin: int) -> Iterator[str]:
    """Debian's PgBouncer in front of the cluster; yields the options of a URL to it."""
    directory = Path(tempfile.mkdtemp(prefix="tasks-backend-poolers-"))
    directory.chmod(0o755)
    user = ordinary_user()
    home = directory_of(user, directory / "pgbouncer")
    (home / "users").write_text(f'"{login}" ""\n')
    host, port = psycopg2.extensions.parse_dsn(cluster.url)["host"], free_port()
    (home / "pgbouncer.ini").write_text(
        CONFIGURATION.format(
            host=host, port=port, home=home, mode=mode, size=size, round_robin=round_robin
        )
    )
    program = Program(
        [executable("pgbouncer"), str(home / "pgbouncer.ini")],
        directory / "pgbouncer.log",
        user=user,
    )
    program.start()
    url = make_dsn(host="127.0.0.1", port=port, user=login, dbname="postgres")
    try:
        program.wait_for(lambda: listens(port), "PgBouncer to listen")
        yield url
    finally:
        program.stop()
        shutil.rmtree(directory, ignore_errors=True)
