"""The effects of writes: WAL, new row versions, and sizes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from support.programs import output

from benchmarks.data import SERVICE
from benchmarks.filling import Filled
from benchmarks.pgbench import PROGRAM
from tasks_backend.testing.databases import Cluster

_CHANGES = f"""
SELECT n_tup_ins, n_tup_del, n_tup_upd, n_tup_hot_upd, n_tup_newpage_upd
FROM pg_stat_user_tables WHERE relid = '{SERVICE}.tasks'::regclass
"""
_SIZES = f"""
SELECT relname, pg_relation_size(pg_class.oid) FROM pg_class
LEFT JOIN pg_index ON indexrelid = pg_class.oid
WHERE '{SERVICE}.tasks'::regclass IN (pg_class.oid, indrelid) ORDER BY relkind DESC, relname
"""


@dataclass(frozen=True)
class Writes:
    """The effects of a run of writes: rows by kind of change, and bytes of WAL."""

    inserted: int
    deleted: int
    updated: int
    hot: int
    moved: int
    wal: int
    images: int

    @property
    def rows(self) -> int:
        return self.inserted + self.deleted + self.updated


class Ledger:
    """The counts of one table's database. Nothing else may write on its server."""

    def __init__(self, cluster: Cluster, filled: Filled) -> None:
        self._cluster = cluster
        self._filled = filled

    def sizes(self) -> dict[str, int]:
        """Return the bytes of the table and of each of its indexes."""
        return dict(self._rows(_SIZES))

    @contextmanager
    def writes(self) -> Iterator[list[Writes]]:
        """Append the writes of the block, from a checkpoint on, to the list.

        The writers must have disconnected when the block ends: only then is everything counted.
        """
        found: list[Writes] = []
        self._rows("CHECKPOINT")
        before, start = self._counts(), self._position()
        yield found
        end, after = self._position(), self._counts()
        inserted, deleted, updated, hot, moved = (
            new - old for new, old in zip(after, before, strict=True)
        )
        ((wal,),) = self._rows("SELECT (%s::pg_lsn - %s::pg_lsn)::bigint", (end, start))
        images = self._images(start, end)
        found.append(Writes(inserted, deleted, updated, hot, moved, wal, images))

    def _counts(self) -> tuple[int, ...]:
        (counts,) = self._rows(_CHANGES)
        return tuple(counts)

    def _position(self) -> str:
        ((position,),) = self._rows("SELECT pg_current_wal_flush_lsn()::text")
        return str(position)

    def _images(self, start: str, end: str) -> int:
        """Return the bytes of full-page images, which the first change after a checkpoint writes."""
        told = output(
            PROGRAM.with_name("pg_waldump"),
            *f"--stats --start {start} --end {end} --path".split(),
            self._filled.directory / "pg_wal",
            timeout=300,
        )
        total = next(line for line in told.splitlines() if line.startswith("Total"))
        numbers = [part for part in total.split()[1:] if part.isdecimal()]
        return int(numbers[2])

    def _rows(self, statement: str, values: Any = None) -> list[tuple[Any, ...]]:
        with self._cluster.cursor(self._filled.database) as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall()) if cursor.description else []
