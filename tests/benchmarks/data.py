"""The rows for the requests, and the reset of the tables between bursts."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg2.extensions import parse_dsn

from tasks_backend.testing.databases import Cluster

PEOPLE = 500
TASKS = 100_000
SERVICE = "tasks_backend"
MADE = "Made by a burst"
NEW = {"title": MADE, "description": "With a word on what it is about."}
CHANGED = {"title": "A better title", "completed": True}
PEERS = Path(__file__).parent / "peers"

_FILL = f"""
INSERT INTO {SERVICE}.users (id) SELECT 'person-' || n FROM generate_series(0, {PEOPLE - 1}) AS n;
INSERT INTO {SERVICE}.tasks (id, user_id, title, description, completed)
SELECT uuidv7(), 'person-' || n % {PEOPLE}, 'Task number ' || n,
    'What there is to say about a task is seldom longer than this.', n % 3 = 0
FROM generate_series(1, {TASKS}) AS n
"""
_MAKE = """
INSERT INTO {schema}.tasks (id, user_id, title, completed)
SELECT uuidv7(), 'person-' || n %% %(people)s, %(title)s, false
FROM generate_series(1, %(count)s) AS n
RETURNING user_id, id::text
"""


@dataclass(frozen=True)
class Task:
    """A task for requests."""

    owner: str
    id: str


class Data:
    """One database with the service's schema and one schema with the same rows for each peer."""

    def __init__(self, cluster: Cluster, url: str) -> None:
        self._cluster = cluster
        self._database = parse_dsn(url)["dbname"]
        self._do(_FILL)
        self.tidy(SERVICE)

    def make_schema(self, name: str, *, own_rows: bool) -> str:
        """Fill a schema for a peer, and return the login that uses it.

        With `own_rows`, the login sees no row without the identity of a user.
        """
        login = self._cluster.login("")
        policies = (PEERS / "own_rows.sql").read_text() if own_rows else ""
        self._do(
            f"CREATE SCHEMA {name}; SET search_path = {name};"
            f"{(PEERS / 'schema.sql').read_text()};{policies};"
            f"GRANT USAGE ON SCHEMA {name} TO {login};"
            f"GRANT ALL ON ALL TABLES IN SCHEMA {name} TO {login};"
            f"ALTER ROLE {login} SET search_path = {name}"
        )
        self.tidy(name)
        ((visible,),) = self._rows(f"SET ROLE {login}; SELECT count(*) FROM {name}.tasks")
        assert visible == (0 if own_rows else TASKS)
        return login

    def sample(self, each: int) -> list[Task]:
        """Return some tasks of each user, the same in every schema, in random order."""
        rows = self._rows(
            "SELECT user_id, id::text FROM ("
            " SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY md5(id::text)) AS place"
            f" FROM {SERVICE}.tasks) AS placed WHERE place <= %s ORDER BY id",
            (each,),
        )
        tasks = [Task(*row) for row in rows]
        random.Random(0).shuffle(tasks)
        return tasks

    def make(self, schema: str, count: int) -> Iterator[Task]:
        """Create tasks for deletion."""
        values = {"people": PEOPLE, "title": MADE, "count": count}
        for row in self._rows(_MAKE.format(schema=schema), values):
            yield Task(*row)

    def tidy(self, schema: str) -> None:
        """Remove the rows that bursts created, and their dead rows."""
        self._do(f"DELETE FROM {schema}.tasks WHERE title = '{MADE}'")
        self._do(f"VACUUM (ANALYZE) {schema}.tasks")

    def versions(self, schema: str) -> int:
        """Return the sum of the tasks' versions: each creation or change adds one."""
        ((total,),) = self._rows(f"SELECT sum(version) FROM {schema}.tasks")
        return int(total)

    def postmaster(self) -> int:
        """Return the process id of the database server."""
        ((directory,),) = self._rows("SHOW data_directory")
        return int(Path(directory, "postmaster.pid").read_text().split("\n", 1)[0])

    def setting(self, name: str) -> str:
        """Return a setting of the database server."""
        ((value,),) = self._rows("SELECT current_setting(%s)", (name,))
        return str(value)

    def _do(self, statements: str) -> None:
        with self._cluster.cursor(self._database) as cursor:
            cursor.execute(statements)

    def _rows(self, statement: str, values: Any = None) -> list[tuple[Any, ...]]:
        with self._cluster.cursor(self._database) as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall())
