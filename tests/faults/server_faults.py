"""The processes of the database and the pooler are ended, frozen and restarted."""

from faults.fault import Fault


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


class Freeze(Fault):
    name = "PostgreSQL frozen"
    lasts = (3.0, 7.0)

    def inject(self) -> None:
        self.at.postgres.freeze()

    def heal(self) -> None:
        self.at.postgres.thaw()
