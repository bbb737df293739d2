"""A database with a given number of tasks, of users with few, many and very many."""

import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from psycopg2.extensions import parse_dsn

from benchmarks.data import MADE, SERVICE, Task
from benchmarks.kinds import Kind, kinds
from benchmarks.progress import tell
from tasks_backend.db import migrations
from tasks_backend.testing.databases import NEON_OWNER, Cluster

BATCH = 250_000
INDEX = "ix_tasks_list"

# The tasks of each kind are spread evenly over the period of the table, one second apart, and in
# turn over the users of the kind; only those of `early` users come before all others. Two
# thirds are completed, without a pattern.
_BATCH = """
INSERT INTO {schema}.tasks (id, user_id, title, description, completed, created_at, updated_at)
SELECT uuidv7((n - %(rows)s) * interval '1 second'),
    md5(CASE WHEN n < %(early)s THEN 'early-0'
        WHEN is_large THEN 'large-' || large_before %% %(large)s
        WHEN is_medium THEN 'medium-' || medium_before %% %(medium)s
        ELSE 'small-' || (rest - medium_before) %% %(small)s END),
    'Task number ' || n, 'What there is to say about a task is seldom longer than this.',
    hashint8(n) %% 3 <> 0, now() + (n - %(rows)s) * interval '1 second',
    now() + (n - %(rows)s) * interval '1 second'
FROM generate_series(%(first)s::bigint, %(last)s) AS n,
LATERAL (SELECT n - %(early)s AS place) AS late,
LATERAL (SELECT place * %(of_large)s / %(late)s AS large_before,
    (place + 1) * %(of_large)s / %(late)s > place * %(of_large)s / %(late)s AS is_large) AS large,
LATERAL (SELECT place - large_before AS rest) AS others,
LATERAL (SELECT rest * %(of_medium)s / %(others)s AS medium_before,
    (rest + 1) * %(of_medium)s / %(others)s > rest * %(of_medium)s / %(others)s AS is_medium
) AS medium
"""
_SAMPLE = """
SELECT user_id, id::text FROM (
    SELECT user_id, id, row_number() OVER newest AS place, count(*) OVER (PARTITION BY user_id) AS n
    FROM {schema}.tasks WHERE user_id = %(user)s WINDOW newest AS (ORDER BY id DESC)
) AS own WHERE place %% greatest(n / %(each)s, 1) = 0 ORDER BY id LIMIT %(each)s
"""


class Filled:
    """A separate, migrated database with `rows` tasks; `url` is its owner's.

    Without `in_order`, the list's index is created after the rows, which is faster and packs it;
    with it, the index grows with the rows, as in production.
    """

    def __init__(
        self, cluster: Cluster, rows: int, *, in_order: bool = False, fillfactor: int = 90
    ) -> None:
        self.rows = rows
        self.kinds = {kind.name: kind for kind in kinds(rows)}
        self._cluster = cluster
        name, self.url = cluster.database(cluster.login(NEON_OWNER))
        migrations.upgrade(self.url)
        began = time.monotonic()
        with cluster.cursor(name) as cursor:
            cursor.execute(f"ALTER TABLE {SERVICE}.tasks SET (fillfactor = {fillfactor})")
            cursor.execute("SET session_replication_role = replica")  # no foreign keys
            for kind in self.kinds.values():
                cursor.execute(
                    f"INSERT INTO {SERVICE}.users (id) SELECT md5(%s || n)"
                    " FROM generate_series(0, %s) AS n",
                    (f"{kind.name}-", kind.users - 1),
                )
            cursor.execute(f"SELECT pg_get_indexdef('{SERVICE}.{INDEX}'::regclass)")
            ((index,),) = cursor.fetchall()
            if not in_order:
                cursor.execute(f"DROP INDEX {SERVICE}.{INDEX}")
            for first in range(0, rows, BATCH):
                last = min(first + BATCH, rows) - 1
                cursor.execute(_BATCH.format(schema=SERVICE), self._values(first, last))
                done = time.monotonic() - began
                tell(f"filling: {last + 1:,} of {rows:,} tasks after {done:.0f} s")
            if not in_order:
                cursor.execute(index)
            cursor.execute(f"VACUUM (ANALYZE) {SERVICE}.tasks")
            cursor.execute(f"VACUUM (ANALYZE) {SERVICE}.users")
            cursor.execute("CHECKPOINT")
        tell(f"filled {rows:,} tasks in {time.monotonic() - began:.0f} s")

    def _values(self, first: int, last: int) -> dict[str, int]:
        count = {name: kind.users for name, kind in self.kinds.items()}
        early, large = (count.get(name, 0) * 100_000 for name in ("early", "large"))
        return {
            "rows": self.rows,
            "first": first,
            "last": last,
            "early": early,
            "large": max(count.get("large", 0), 1),
            "of_large": large,
            "medium": count["medium"],
            "of_medium": count["medium"] * 1_000,
            "small": count["small"],
            "late": self.rows - early,
            "others": self.rows - early - large,
        }

    @cached_property
    def database(self) -> str:
        return str(parse_dsn(self.url)["dbname"])

    @property
    def directory(self) -> Path:
        """The data directory of the database server."""
        with self._cluster.cursor() as cursor:
            cursor.execute("SHOW data_directory")
            ((directory,),) = cursor.fetchall()
        return Path(directory)

    @property
    def postmaster(self) -> int:
        """The process id of the database server."""
        return int((self.directory / "postmaster.pid").read_text().split("\n", 1)[0])

    def sample(self, kind: Kind, users: int, each: int) -> dict[str, list[Task]]:
        """Return some tasks of some users, evenly from the oldest to the newest."""
        people = kind.people[:: max(kind.users // users, 1)][:users]
        with self._cluster.cursor(self.database) as cursor:
            found = {}
            for user in people:
                cursor.execute(_SAMPLE.format(schema=SERVICE), {"user": user, "each": each})
                found[user] = [Task(*row) for row in cursor.fetchall()]
        return found

    def anywhere(self, count: int, seed: int) -> list[Task]:
        """Return about this number of tasks from the whole table, in random order."""
        with self._cluster.cursor(self.database) as cursor:
            cursor.execute(
                f"SELECT user_id, id::text FROM {SERVICE}.tasks"
                " TABLESAMPLE BERNOULLI (%s) REPEATABLE (%s) ORDER BY md5(id::text)",
                (min(count * 100 / self.rows, 100), seed),
            )
            return [Task(*row) for row in cursor.fetchall()]

    def make(self, people: list[str], count: int) -> Iterator[Task]:
        """Create tasks for deletion."""
        with self._cluster.cursor(self.database) as cursor:
            cursor.execute(
                f"INSERT INTO {SERVICE}.tasks (id, user_id, title)"
                " SELECT uuidv7(), (%(people)s)[1 + n %% %(users)s], %(title)s"
                " FROM generate_series(1, %(count)s) AS n RETURNING user_id, id::text",
                {"people": people, "users": len(people), "title": MADE, "count": count},
            )
            yield from (Task(*row) for row in cursor.fetchall())

    def tidy(self) -> None:
        """Remove rows that are newer than the filling, and dead rows with their index entries."""
        with self._cluster.cursor(self.database) as cursor:
            cursor.execute(
                f"DELETE FROM {SERVICE}.tasks WHERE id > uuidv7(interval '-1 day') AND title = %s",
                (MADE,),
            )
            cursor.execute(f"VACUUM (INDEX_CLEANUP ON) {SERVICE}.tasks")
