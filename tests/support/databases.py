"""Logins and databases on the embedded server, as in different deployments."""

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2.extensions import make_dsn


@dataclass(frozen=True)
class Cluster:
    """The embedded server, accessed as its superuser."""

    url: str

    @contextlib.contextmanager
    def cursor(self, database: str = "postgres", **login: str) -> Iterator[Any]:
        connection = psycopg2.connect(make_dsn(self.url, dbname=database, **login))
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()

    def login(self, attributes: str) -> str:
        """A new login with these attributes."""
        name = f"login_{secrets.token_hex(6)}"
        with self.cursor() as cursor:
            cursor.execute(f"CREATE ROLE {name} LOGIN {attributes}")
        return name

    def database(self, owner: str) -> tuple[str, str]:
        """The name of a new, empty database, and the URL with which its owner reaches it."""
        name = f"db_{secrets.token_hex(6)}"
        with self.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name} OWNER {owner}")
        return name, self.url_of(name, owner)

    def url_of(self, database: str, login: str) -> str:
        return str(make_dsn(self.url, dbname=database, user=login))


NEON_OWNER = "CREATEROLE CREATEDB BYPASSRLS"
PLAIN_OWNER = "NOCREATEROLE NOBYPASSRLS"
SUPERUSER = "SUPERUSER"
