"""How PostgreSQL executes a message of the service: its plans and its counts."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tasks_backend.db.statements import (
    CALLER,
    ROLE,
    ROLE_OF_LOGIN,
    SCHEMA,
    STATEMENT_TIMEOUT,
    Statement,
)

EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "
_COUNTED = f"""
SELECT relname, relkind = 'r', pg_stat_get_xact_numscans(oid), pg_stat_get_xact_blocks_fetched(oid)
FROM pg_class WHERE relnamespace = '{SCHEMA}'::regnamespace AND relkind IN ('r', 'i')
"""

Node = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """The EXPLAIN output for one statement of a message; times in milliseconds."""

    nodes: list[Node]
    buffers: int
    planning: float
    execution: float

    @property
    def indexes(self) -> set[str]:
        return {node["Index Name"] for node in self.nodes if "Index Name" in node}

    def of_type(self, *types: str) -> list[Node]:
        return [node for node in self.nodes if node["Node Type"] in types]


@dataclass(frozen=True)
class Counts:
    """The server's statistics for a whole message, with functions, policies and keys."""

    sequential_scans: Counter[str]
    index_scans: Counter[str]
    blocks: int


class Messages:
    """Sends the service's messages in transactions that are rolled back, except for `send`.

    The cursor's login must be suitable for the service. Earlier changes in the transaction,
    such as a dropped index, are rolled back too.
    """

    def __init__(self, cursor: Any) -> None:
        self.cursor = cursor
        self.cursor.execute(ROLE_OF_LOGIN)
        ((self._role,),) = self.cursor.fetchall()

    def plans(self, statement: Statement, user_id: str, **parameters: Any) -> list[Plan]:
        """Return the plan of each statement of the message, run after those before it."""
        identity, *parts = statement.message.split(";\n")
        plans = []
        for number, part in enumerate(parts):
            self.cursor.execute("SAVEPOINT message")
            sent = ";\n".join([identity, *parts[:number], EXPLAIN + part])
            self.cursor.execute(sent, self._values(statement, user_id, parameters))
            ((explained,),) = self.cursor.fetchall()
            plans.append(_plan(explained[0]))
            self.cursor.execute("ROLLBACK TO message")
        return plans

    def counts(self, statement: Statement, user_id: str, **parameters: Any) -> Counts:
        """Send the message unchanged and return what it added to this transaction's counts."""
        self.cursor.execute("SAVEPOINT message")
        before = self._counted()
        self.send(statement, user_id, **parameters)
        after = self._counted()
        self.cursor.execute("ROLLBACK TO message")
        tables, indexes, blocks = (new - old for new, old in zip(after, before, strict=True))
        return Counts(tables, indexes, blocks.total())

    def send(self, statement: Statement, user_id: str, **parameters: Any) -> None:
        """Send the message unchanged."""
        self.cursor.execute(statement.message, self._values(statement, user_id, parameters))

    def _values(self, statement: Statement, user_id: str, parameters: Any) -> dict[str, Any]:
        caller = {ROLE: self._role, CALLER: user_id, STATEMENT_TIMEOUT: "60000"}
        return {**statement.fixed, **parameters, **caller}

    def _counted(self) -> tuple[Counter[str], Counter[str], Counter[str]]:
        self.cursor.execute(_COUNTED)
        rows = self.cursor.fetchall()
        tables = Counter({name: scans for name, is_table, scans, _ in rows if is_table})
        indexes = Counter({name: scans for name, is_table, scans, _ in rows if not is_table})
        return tables, indexes, Counter({name: blocks for name, _, _, blocks in rows})


def _plan(explained: dict[str, Any]) -> Plan:
    nodes = list(_nodes(explained["Plan"]))
    buffers = nodes[0]["Shared Hit Blocks"] + nodes[0]["Shared Read Blocks"]
    return Plan(nodes, buffers, explained["Planning Time"], explained["Execution Time"])


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for below in node.get("Plans", ()):
        yield from _nodes(below)
