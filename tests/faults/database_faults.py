"""The database is reachable but fails to execute statements."""

import contextlib
from typing import Any

import psycopg2

from faults.fault import Fault, Unavailable
from faults.postgres import MAX_CONNECTIONS


class TooManyConnections(Fault):
    name = "too many connections"
    lasts = (2.0, 4.0)

    def inject(self) -> None:
        """End the services' connections, and take every free connection slot."""
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
        """Lock the table for longer than the statement timeout."""
        self._session = psycopg2.connect(self.at.postgres.cluster.url, dbname=self.at.database)
        with self._session.cursor() as cursor:
            cursor.execute("LOCK TABLE tasks_backend.tasks IN ACCESS EXCLUSIVE MODE")

    def heal(self) -> None:
        self._session.close()
