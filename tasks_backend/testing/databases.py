"""Logins and databases on a PostgreSQL server for tests, as in different deployments."""

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2.extensions import make_dsn

from tasks_backend.testing import statements

NEON_OWNER = "CREATEROLE CREATEDB BYPASSRLS"
PLAIN_OWNER = "NOCREATEROLE NOBYPASSRLS"
SUPERUSER = "SUPERUSER"


@dataclass(frozen=True)
class Cluster:
    """A server, accessed as its superuser."""

    url: str

    @contextlib.contextmanager
    def cursor(self, database: str = "postgres", **login: str) -> Iterator[Any]:
        """Connect to a database, each statement in a transaction of its own."""
        connection = psycopg2.connect(make_dsn(self.url, dbname=database, **login))
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()

    def login(self, attributes: str) -> str:
        """Create a login with these attributes, and return its name."""
        name = f"login_{secrets.token_hex(6)}"
        with self.cursor() as cursor:
            cursor.execute(statements.create_login(name, attributes))
        return name

    def database(self, owner: str) -> tuple[str, str]:
        """Create an empty database. Return its name, and the URL with which its owner reaches it."""
        name = f"db_{secrets.token_hex(6)}"
        with self.cursor() as cursor:
            cursor.execute(statements.create_database(name, owner))
        return name, self.url_of(name, owner)

    def url_of(self, database: str, login: str) -> str:
        """Return the URL of a database for a login."""
        return str(make_dsn(self.url, dbname=database, user=login))
