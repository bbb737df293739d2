"""All processes: PostgreSQL, PgBouncer, two networks, two services, the key set endpoint."""

import contextlib
import shutil
import signal
import sysconfig
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil
from support.commands import free_port
from support.programs import Program
from support.waiting import answers

from faults.network import Network
from faults.pgbouncer import NeonPooler
from faults.postgres import Postgres, SmallDisk, small_disk
from faults.programs import workers
from tasks_backend.db import migrations
from tasks_backend.testing.databases import NEON_OWNER
from tasks_backend.testing.key_server import KeyServer, json_answer
from tasks_backend.testing.signing import AUDIENCE, ISSUER, Signer, key_set

SIDES = ("direct", "pooled")
WORKERS = 2
REQUEST_TIMEOUT = 5.0  # seconds
SETTINGS = {
    "REQUEST_TIMEOUT": str(REQUEST_TIMEOUT),
    "STATEMENT_TIMEOUT": "3",
    "CONNECT_TIMEOUT": "2",
    "POOL_SIZE": "10",
    "JWT_ISSUER": ISSUER,
    "JWT_AUDIENCE": AUDIENCE,
    "JWKS_TIMEOUT": "4",
    "JWKS_COOLDOWN": "1",
    "JWKS_REFRESH_AFTER": "2",
    "JWKS_MAX_AGE": "5",
}


class Service:
    """`tasks-backend serve --workers 2`, with only its settings in the environment."""

    def __init__(self, directory: Path, name: str, database: str, keys: str) -> None:
        self.port = free_port()
        scripts = sysconfig.get_path("scripts")
        command = [f"{scripts}/tasks-backend", "serve", "--workers", str(WORKERS)]
        environment = SETTINGS | {"DATABASE_URL": database, "JWKS_URL": keys}
        self.log = directory / f"service-{name}.log"
        self._program = Program([*command, "--port", str(self.port)], self.log, environment)

    def start(self) -> None:
        """Start it and wait until all its workers serve."""
        self._program.start()
        self._program.wait_for(self._lives, "the service to live")

    def stop(self) -> None:
        self._program.stop()

    def kill(self) -> None:
        self._program.kill()

    def reload(self) -> None:
        """Tell the supervisor to replace its workers, one by one."""
        self._program.send(signal.SIGHUP)

    def workers(self) -> list[psutil.Process]:
        return workers(self._program)

    def wait_for_workers_without(self, gone: set[int]) -> None:
        """Return when all of these workers are replaced and the new ones serve."""

        def replaced() -> bool:
            now = {worker.pid for worker in self.workers()}
            return len(now) == WORKERS and not now & gone

        self._program.wait_for(replaced, "new workers")

    def _lives(self) -> bool:
        alive = answers(f"http://127.0.0.1:{self.port}/livez")
        return alive and len(self.workers()) == WORKERS


@dataclass
class Deployment:
    """The system under test. It runs when the block starts, and is gone when it ends."""

    directory: Path
    postgres: Postgres
    pgbouncer: NeonPooler
    disk: SmallDisk | None
    networks: dict[str, Network]
    services: dict[str, Service]
    key_server: KeyServer
    signer: Signer
    database: str
    owner: str

    @property
    def tracebacks(self) -> list[str]:
        """The services' logs, from each traceback's first line."""
        found = []
        for service in self.services.values():
            _, *rest = service.log.read_text(errors="replace").split("Traceback (most recent")
            found += [f"{service.log.name}: Traceback (most recent{text[:3000]}" for text in rest]
        return found

    @property
    def deadlocks(self) -> int:
        """How many transactions PostgreSQL ended because of a deadlock."""
        return self.postgres.log.read_text(errors="replace").count("ERROR:  deadlock detected")


@contextlib.contextmanager
def deployed() -> Iterator[Deployment]:
    """Start everything in a new temporary directory, and leave nothing behind."""
    directory = Path(tempfile.mkdtemp(prefix="tasks-backend-faults-"))
    directory.chmod(0o755)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        disk = stack.enter_context(small_disk(directory))
        postgres = Postgres(directory)
        stack.callback(_end_postgres, postgres)
        postgres.start()
        owner = postgres.cluster.login(NEON_OWNER)
        database, url = postgres.cluster.database(owner)
        if disk is not None:
            postgres.sql(f"CREATE TABLESPACE small LOCATION '{disk.path}'")
            postgres.sql(f"ALTER DATABASE {database} SET TABLESPACE small")
        migrations.upgrade(url)
        pgbouncer = NeonPooler(directory, postgres.home, owner)
        stack.callback(pgbouncer.kill)
        pgbouncer.start()
        signer = Signer()
        key_server = stack.enter_context(KeyServer(json_answer(key_set(signer))))
        networks = {
            "direct": Network(postgres.socket),
            "pooled": Network(f"127.0.0.1:{pgbouncer.port}"),
        }
        tls = {
            "direct": "sslmode=disable",
            "pooled": f"sslmode=verify-full&sslrootcert={pgbouncer.certificate}",
        }
        services = {}
        for side in SIDES:
            stack.callback(networks[side].stop)
            address = f"127.0.0.1:{networks[side].port}/{database}"
            dsn = f"postgresql://{owner}@{address}?{tls[side]}"
            services[side] = Service(directory, side, dsn, key_server.url)
            stack.callback(services[side].kill)
        with ThreadPoolExecutor() as both:
            list(both.map(Service.start, services.values()))
        yield Deployment(
            directory, postgres, pgbouncer, disk, networks, services, key_server, signer,
            database, owner,
        )  # fmt: skip


def _end_postgres(postgres: Postgres) -> None:
    with contextlib.suppress(ProcessLookupError, AssertionError):
        postgres.thaw()
    postgres.kill()
