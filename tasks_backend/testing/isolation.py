"""Whether any route shows or changes another user's rows."""

import contextlib
import json
import re
import uuid
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import httpx2
import psycopg2
from psycopg2.errorcodes import INSUFFICIENT_PRIVILEGE

from tasks_backend.db.statements import ROLE_OF_LOGIN, SCHEMA
from tasks_backend.testing import statements
from tasks_backend.testing.attempts import Actor, Request
from tasks_backend.testing.operations import Operation

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Isolation:
    """Finds leaks; `findings` has a sentence for each.

    `cursor` is a superuser's, in the database of the service. `schemas` are the plugins' own.
    """

    def __init__(
        self, cursor: Any, schemas: Collection[str], ignored_tables: Collection[str]
    ) -> None:
        self._cursor = cursor
        self.findings: list[str] = []
        cursor.execute(statements.TABLES, ([*schemas],))
        tables = [row for row in cursor.fetchall() if row[1] not in ignored_tables]
        self._of_users = {table: columns for table, _, has_user, _, columns in tables if has_user}
        self._of_nobody = [table for table, _, has_user, *_ in tables if not has_user]
        cursor.execute(statements.TABLES, ([*schemas, SCHEMA],))
        self._watched = {table: secured for table, _, has_user, secured, _ in cursor if has_user}
        cursor.execute(statements.FOREIGN_KEYS, ([*schemas],))
        self._foreign_keys = cursor.fetchall()
        self._crossing = self._crossing_rows()

    # --- the routes, without the policies ---

    @contextlib.contextmanager
    def without_policies(self) -> Iterator[None]:
        """Turn row-level security off, so that only the statements' own conditions protect rows."""
        secured = [table for table, is_secured in self._watched.items() if is_secured]
        self._switch(secured, enabled=False)
        try:
            yield
        finally:
            self._switch(secured, enabled=True)

    def try_routes(self, alice: Actor, bob: Actor, operations: Sequence[Operation]) -> None:
        """Let Bob try every operation with Alice's ids, and compare what he sees."""
        self._succeed(bob.act())
        seen = self._views(bob)
        self._succeed(alice.act())
        for request, before in seen:
            if _text(request.send(bob.user.client)) != before:
                self.findings.append(f"{request} shows that another user has made rows")
        ids, private = self._ids_of(alice)
        everybody_elses = self._rows(bob, others=True)
        for operation in _deletes_last(operations):
            for request in bob.with_foreign_ids(operation, alice, ids):
                response = request.send(bob.user.client)
                self._look(request, response, private, bob, everybody_elses)
            if operation.method == "GET" and operation.path_parameters:
                self._compare_with_unknown(operation, alice, bob)
        self._succeed((each, each.send(alice.user.client)) for each in _readings(alice))
        for operation in _deletes_last([each for each in operations if each.method == "DELETE"]):
            request = alice.request(operation)
            self._succeed([(request, request.send(alice.user.client))])
            for _ in alice.act():  # for the next operation that deletes
                pass

    def try_anonymous(
        self, client: httpx2.Client, operations: Sequence[Operation], public: Collection[str]
    ) -> None:
        """Try every operation without a token."""
        for operation in operations:
            if operation.path in public:
                continue
            path = re.sub(r"{[^}]*}", str(uuid.UUID(int=0)), operation.path)
            status = client.request(operation.method, path).status_code
            if status != 401 or operation.public:
                self.findings.append(
                    f"{operation.name} is public: it answers {status} without a token"
                )

    def _succeed(self, attempts: Any) -> None:
        """Note the requests that fail for the owner of the rows: with them nothing would be tried."""
        for request, response in attempts:
            if not response.is_success:
                self.findings.append(
                    f"{request} cannot be tried, it answers {response.status_code} to the owner:"
                    f" pass bodies or parameters that it accepts ({response.text})"
                )

    def _views(self, actor: Actor) -> list[tuple[Request, str]]:
        """Return what a user reads, where it does not change by itself."""
        views = []
        for request in _readings(actor):
            first, second = (_text(request.send(actor.user.client)) for _ in range(2))
            if first == second:
                views.append((request, first))
        return views

    def _look(
        self,
        request: Request,
        response: httpx2.Response,
        private: Collection[str],
        bob: Actor,
        everybody_elses: dict[str, set[str]],
    ) -> None:
        """Note what a request showed, changed or stored of another user's rows."""
        sent = f"{response.request.url} {response.request.content.decode()}"
        shown = f"{response.text} {dict(response.headers)}"
        if any(secret in shown and secret not in sent for secret in private):
            self.findings.append(f"{request} shows another user's row: {shown}")
        now = self._rows(bob, others=True)
        for table in [table for table, rows in everybody_elses.items() if rows != now[table]]:
            self.findings.append(f"{request} changes another user's rows in {table}")
            everybody_elses[table] = now[table]
        for table, rows in self._rows(bob).items():
            if any(secret in row for row in rows for secret in private if _UUID.fullmatch(secret)):
                self.findings.append(f"{request} stores another user's id in {table}")
        crossing = self._crossing_rows()
        if crossing > self._crossing:
            self.findings.append(f"{request} stores a reference to another user's row")
        self._crossing = crossing

    def _compare_with_unknown(self, operation: Operation, alice: Actor, bob: Actor) -> None:
        """Another user's row must look like one that does not exist."""
        name = operation.path_parameters[-1]
        foreign = alice.values.get(name)
        unknown = unknown_id(foreign)
        answers = []
        for value in (foreign, unknown):
            request = bob.request(operation, {**alice.values, name: value})
            response = request.send(bob.user.client)
            answers.append((response.status_code, _text(response).replace(str(value), "ID")))
        if answers[0] != answers[1]:
            self.findings.append(
                f"{operation.name} tells that another user's row exists: {answers[0]} for it,"
                f" {answers[1]} for an unknown one"
            )

    def _ids_of(self, actor: Actor) -> tuple[list[Any], set[str]]:
        """Return a user's ids, to be tried by others, and the texts that only this user may see."""
        rows = self._rows(actor)
        for table in self._of_users:
            if not rows[table]:
                self.findings.append(
                    f"{table} cannot be tried: no request of its owner makes a row there"
                )
        found = {text for each in rows.values() for row in each for text in _UUID.findall(row)}
        members = [
            value for each in rows.values() for row in each for value in json.loads(row).values()
        ]
        numbers = sorted({value for value in members if type(value) is int})
        ids = list(dict.fromkeys([*actor.values.values(), *sorted(found), *numbers]))
        return [*ids, actor.user.sub], {*found, actor.marker, actor.user.sub}

    def _rows(self, actor: Actor, *, others: bool = False) -> dict[str, set[str]]:
        rows = {}
        for table in self._watched:
            self._cursor.execute(statements.rows_of(table, others=others), (actor.user.sub,))
            rows[table] = {text for (text,) in self._cursor.fetchall()}
        return rows

    def _crossing_rows(self) -> int:
        """Return the number of rows whose foreign key refers to another user's row."""
        crossing = 0
        for count in self._foreign_keys:
            self._cursor.execute(*count)
            crossing += self._cursor.fetchone()[0]
        return crossing

    def _switch(self, tables: Collection[str], *, enabled: bool) -> None:
        for table in tables:
            self._cursor.execute(statements.row_security(table, enabled=enabled))

    # --- the policies, without the routes ---

    def try_policies(self, connection: Any, alice: Actor) -> None:
        """Try every table as a user without rows, as the service's connection may."""
        with connection.cursor() as cursor:
            cursor.execute(ROLE_OF_LOGIN)
            ((role,),) = cursor.fetchall()
            connection.rollback()
            for table, columns in self._of_users.items():
                rows = sorted(self._rows(alice)[table])
                attempts = [
                    ("read", statements.counted(table), ()),
                    ("change", statements.changed(table), ()),
                    ("delete", statements.deleted(table), ()),
                    *(("insert", statements.copied(table, columns), (row,)) for row in rows[:1]),
                ]
                for verb, sql, values in attempts:
                    if not _refused(cursor, role, sql, values):
                        self.findings.append(
                            f"{table}: the policy lets a user {verb} another user's rows"
                        )
            for table in self._of_nobody:
                cursor.execute(statements.MAY_READ, (role, table))
                if cursor.fetchone() != (False,):
                    self.findings.append(f"{table} has no user_id, and requests may use it")


def unknown_id(known: Any) -> Any:
    """Return an id of the same type that no row has."""
    return 2**31 - 1 if isinstance(known, int) else str(uuid.uuid4())


def _refused(cursor: Any, role: str, sql: str, values: tuple[str, ...]) -> bool:
    """Return whether a statement of a user without rows reaches none."""
    try:
        cursor.execute(statements.AS_USER, (role, uuid.uuid4().hex))
        cursor.execute(sql, values)
        count = cursor.fetchone()[0] if cursor.description else cursor.rowcount
    except psycopg2.Error as error:
        return error.pgcode == INSUFFICIENT_PRIVILEGE
    else:
        return bool(count == 0)
    finally:
        cursor.connection.rollback()


def _readings(actor: Actor) -> list[Request]:
    return [actor.request(operation) for operation in actor.ordered(("GET",))]


def _deletes_last(operations: Sequence[Operation]) -> list[Operation]:
    """Return the operations: those that delete last, the deepest of them first."""
    return sorted(operations, key=lambda each: (each.method == "DELETE", -each.path.count("/")))


def _text(response: httpx2.Response) -> str:
    """Return the status and the body, without the request's id."""
    request_id = response.headers.get("x-request-id", "-")
    return f"{response.status_code} {response.text.replace(request_id, '')}"
