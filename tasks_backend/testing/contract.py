"""Assertions about every route of the plugins under test."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

import httpx2
import psycopg2
from fastapi import FastAPI
from psycopg2.extensions import parse_dsn

from tasks_backend import health
from tasks_backend.app import create_app
from tasks_backend.db.statements import SCHEMA
from tasks_backend.plugin import Plugin
from tasks_backend.settings import Settings
from tasks_backend.testing import order
from tasks_backend.testing.attempts import Actor
from tasks_backend.testing.databases import Cluster
from tasks_backend.testing.isolation import Isolation
from tasks_backend.testing.operations import operations_of
from tasks_backend.testing.service import users
from tasks_backend.testing.signing import Signer


class Contract:
    """Holds every route of the plugins under test to the contract (docs/api.md).

    The requests come from the OpenAPI document: `bodies` replaces a sampled body, by operation
    (`POST /api/v1/notes`), and `parameters` the value of a parameter, by name.
    """

    def __init__(
        self, app: FastAPI, url: str, signer: Signer, cluster: Cluster, plugins: Sequence[Plugin]
    ) -> None:
        self._settings: Settings = app.state.settings
        others = create_app(self._settings).routes if plugins else health.router.routes
        self._operations = operations_of(app, (route.path for route in others))  # type: ignore[attr-defined] # every route has one
        self._schemas = [plugin.schema for plugin in plugins] or [SCHEMA]
        self._url, self._signer, self._cluster = url, signer, cluster

    def assert_isolation(
        self,
        *,
        bodies: Mapping[str, Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
        public: Collection[str] = (),
        ignored_tables: Collection[str] = (),
    ) -> None:
        """Fail if a route shows, changes or refers to another user's row.

        Every route is tried with another user's ids in its path, query and body while row-level
        security is off, so a statement without an owner is found; then every table is tried without
        the routes, so a missing policy is found. No route may work without a token, except those
        whose paths are in `public`. Each request must succeed for the rows' owner, and each table
        must get a row, or it is a failure too: then nothing was tried. `ignored_tables` have names
        such as `tasks_backend_notes.colours`.
        """
        database = self._settings.database_url
        name = str(parse_dsn(database)["dbname"])
        with (
            self._actors(bodies, parameters) as (alice, bob, anonymous),
            self._cluster.cursor(name) as cursor,
            closing(psycopg2.connect(database)) as login,
        ):
            isolation = Isolation(cursor, self._schemas, ignored_tables)
            isolation.try_anonymous(anonymous, self._operations, public)
            closed = [each for each in self._operations if each.path not in public]
            with isolation.without_policies():
                isolation.try_routes(alice, bob, closed)
            isolation.try_policies(login, alice)
        _fail_with(isolation.findings)

    def assert_order_of_checks(
        self,
        *,
        bodies: Mapping[str, Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        """Fail if a route answers a later failure first, or in another form than the problem's."""
        findings, limit = [], self._settings.max_body_bytes
        with self._actors(bodies, parameters) as (actor, stranger, anonymous):
            for each in (actor, stranger):
                findings += [
                    f"{request} cannot be tried: {response.text}"
                    for request, response in each.act()
                    if not response.is_success
                ]
            for operation in self._operations:
                tried = order.cases(operation, actor, stranger, anonymous, limit)
                wrong = filter(None, map(order.check, tried))
                findings += [f"{operation.name}: {each}" for each in wrong]
        _fail_with(findings)

    @contextmanager
    def _actors(
        self, bodies: Mapping[str, Any] | None, parameters: Mapping[str, Any] | None
    ) -> Iterator[tuple[Actor, Actor, httpx2.Client]]:
        """Yield two users, and a client without a token."""
        with (
            users(self._url, self._signer) as new_user,
            httpx2.Client(base_url=self._url, timeout=30) as anonymous,
        ):
            one, other = (
                Actor(new_user(), self._operations, bodies or {}, parameters or {})
                for _ in range(2)
            )
            yield one, other, anonymous


def _fail_with(findings: Sequence[str]) -> None:
    found = list(dict.fromkeys(findings))
    assert not found, "\n".join([f"{len(found)} found:", *found])
