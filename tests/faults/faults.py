"""What goes wrong: each fault is injected, lasts for a while, and is healed."""

import contextlib
import random
from typing import Any, ClassVar

import psycopg2
from support.key_server import failing_answer

from faults.deployment import SIDES, Deployment
from faults.postgres import MAX_CONNECTIONS


class Unavailable(Exception):
    """This fault cannot be made on this machine; the message says why."""


class Fault:
    """One kind of fault. `lasts` is between how many seconds it lasts until it is healed.

    `heal` returns when the fault is over, for instance when PostgreSQL takes connections again:
    from then on the service has to come back by itself.
    """

    name: ClassVar[str]
    lasts: ClassVar[tuple[float, float]] = (0.0, 0.0)

    def __init__(self, deployment: Deployment, chance: random.Random) -> None:
        self.at = deployment
        self.chance = chance

    def inject(self) -> None:
        raise NotImplementedError

    def heal(self) -> None:
        pass

    def backends(self) -> list[int]:
        """The server processes that work for the services, directly or through PgBouncer."""
        rows = self.at.postgres.sql(
            "SELECT pid FROM pg_stat_activity WHERE usename = %s AND application_name <> 'hog'",
            self.at.owner,
        )
        return [pid for (pid,) in rows]

    def terminate_backends(self) -> None:
        for pid in self.backends():
            self.at.postgres.sql("SELECT pg_terminate_backend(%s)", pid)


class TerminateBackends(Fault):
    name = "backends terminated"

    def inject(self) -> None:
        self.terminate_backends()


class KillBackend(Fault):
    name = "backend kill -9"

    def inject(self) -> None:
        self.at.postgres.kill_backend(self.chance.choice(self.backends()))

    def heal(self) -> None:
        self.at.postgres.wait()


class KillPostmaster(Fault):
    name = "postmaster kill -9"
    lasts = (0.0, 2.0)

    def inject(self) -> None:
        self.at.postgres.kill()

    def heal(self) -> None:
        self.at.postgres.start()


class FastRestart(Fault):
    name = "fast restart"

    def inject(self) -> None:
        self.at.postgres.stop()

    def heal(self) -> None:
        self.at.postgres.start()


class KillPgBouncer(Fault):
    name = "PgBouncer kill -9"
    lasts = (0.0, 2.0)

    def inject(self) -> None:
        self.at.pgbouncer.kill()

    def heal(self) -> None:
        self.at.pgbouncer.start()


class ColdStart(Fault):
    name = "cold start"
    lasts = (2.0, 6.0)

    def inject(self) -> None:
        self.at.pgbouncer.stop()
        self.at.postgres.stop()

    def heal(self) -> None:
        self.at.postgres.start()
        self.at.pgbouncer.start()


class KillWorker(Fault):
    name = "worker kill -9"

    def inject(self) -> None:
        self._gone = {}
        for side in SIDES:
            worker = self.chance.choice(self.at.services[side].workers())
            self._gone[side] = {worker.pid}
            worker.kill()

    def heal(self) -> None:
        for side, gone in self._gone.items():
            self.at.services[side].wait_for_workers_without(gone)


class ReplaceWorkers(Fault):
    name = "SIGHUP, workers replaced"

    def inject(self) -> None:
        self._gone = {
            side: {worker.pid for worker in self.at.services[side].workers()} for side in SIDES
        }
        for side in SIDES:
            self.at.services[side].reload()

    def heal(self) -> None:
        for side, gone in self._gone.items():
            self.at.services[side].wait_for_workers_without(gone)


class RestartService(Fault):
    name = "SIGTERM, service restarted"

    def inject(self) -> None:
        for side in SIDES:
            self.at.services[side].stop()

    def heal(self) -> None:
        for side in SIDES:
            self.at.services[side].start()


class Freeze(Fault):
    name = "PostgreSQL frozen"
    lasts = (3.0, 7.0)

    def inject(self) -> None:
        self.at.postgres.freeze()

    def heal(self) -> None:
        self.at.postgres.thaw()


class BadNetwork(Fault):
    """Both services lose their way to the database in the same manner."""

    lasts = (3.0, 7.0)
    mode: ClassVar[str]

    def inject(self) -> None:
        for side in SIDES:
            self.at.networks[side].turn(self.mode)

    def heal(self) -> None:
        for side in SIDES:
            self.at.networks[side].turn("flow")


class Blackhole(BadNetwork):
    name, mode = "blackhole", "swallow"


class Stall(BadNetwork):
    name, mode = "network stalls", "hold"


class Delay(BadNetwork):
    name, mode = "network slow", "delay"


class Mute(BadNetwork):
    """The worst for whoever repeats what failed: it was done, and nobody said so."""

    name, mode = "answers lost", "mute"
    lasts = (0.3, 1.5)


class Refuse(BadNetwork):
    name, mode = "connections refused", "refuse"


class TooManyConnections(Fault):
    name = "too many connections"
    lasts = (2.0, 4.0)

    def inject(self) -> None:
        """Drive the services out of their connections, and take every place that comes free."""
        self._held: list[Any] = []
        for _ in range(3):
            self.terminate_backends()
            self._grab()

    def heal(self) -> None:
        for connection in self._held:
            connection.close()

    def _grab(self) -> None:
        cluster = self.at.postgres.cluster
        url = cluster.url_of(self.at.database, self.at.owner)
        with contextlib.suppress(psycopg2.OperationalError):
            for _ in range(MAX_CONNECTIONS):
                self._held.append(psycopg2.connect(url, application_name="hog"))


class ReadOnly(Fault):
    name = "read-only"
    lasts = (2.0, 5.0)

    def inject(self) -> None:
        self._set("SET default_transaction_read_only = on")

    def heal(self) -> None:
        self._set("RESET default_transaction_read_only")

    def _set(self, change: str) -> None:
        self.at.postgres.sql(f"ALTER DATABASE {self.at.database} {change}")
        self.terminate_backends()


class DiskFull(Fault):
    name = "disk full"
    lasts = (4.0, 8.0)

    def inject(self) -> None:
        if self.at.disk is None:
            raise Unavailable("a small disk cannot be mounted here (it takes root on Linux)")
        self.at.disk.fill()

    def heal(self) -> None:
        assert self.at.disk is not None
        self.at.disk.free()


class LockedTable(Fault):
    name = "table locked"
    lasts = (4.0, 7.0)

    def inject(self) -> None:
        """Hold the table for longer than a statement may take."""
        self._session = psycopg2.connect(self.at.postgres.cluster.url, dbname=self.at.database)
        with self._session.cursor() as cursor:
            cursor.execute("LOCK TABLE tasks_backend.tasks IN ACCESS EXCLUSIVE MODE")

    def heal(self) -> None:
        self._session.close()


class KeysDown(Fault):
    name = "key set down"
    lasts = (7.0, 9.0)  # beyond JWKS_MAX_AGE: at the end no key is believed any more

    def inject(self) -> None:
        self._answer = self.at.key_server.answer
        self.at.key_server.answer = failing_answer

    def heal(self) -> None:
        self.at.key_server.answer = self._answer


KINDS: tuple[type[Fault], ...] = (
    TerminateBackends, KillBackend, KillPostmaster, FastRestart, KillPgBouncer, ColdStart,
    KillWorker, ReplaceWorkers, RestartService, Freeze, Blackhole, Stall, Delay, Mute, Refuse,
    TooManyConnections, ReadOnly, DiskFull, LockedTable, KeysDown,
)  # fmt: skip
