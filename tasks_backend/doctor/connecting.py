"""Connect as the service does, and explain failures in the words of its log."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg2

from tasks_backend.db.causes import STATEMENTS
from tasks_backend.db.classification import is_misparsed
from tasks_backend.db.connection import Connection, connect
from tasks_backend.db.failures import DatabaseFailure, Failure
from tasks_backend.doctor.findings import printable
from tasks_backend.doctor.login import Login

CONNECT_TIMEOUT = 5.0  # seconds

_LACKS_A_RIGHT = f"{STATEMENTS['42501'].happened} (42501)"
_SEVERITY = re.compile(r"^[^:]+: {2}([0-9A-Z]{5}: )?")
_SKIPPED_PREFIXES = ("\t", "LOCATION: ", "Either provide the file")


@asynccontextmanager
async def open_connection(url: str) -> AsyncIterator[Connection]:
    """Open a separate connection for the block. Raises DatabaseFailure."""
    connection = await connect(url, timeout=CONNECT_TIMEOUT)
    try:
        yield connection
    finally:
        connection.close()


def explain(failure: DatabaseFailure, setting: str, url: str, login: Login | None = None) -> str:
    """Return why a database operation failed, and what may help."""
    if failure.failure not in {Failure.NOT_SENT, Failure.REFUSED}:
        if login and failure.reason.startswith(_LACKS_A_RIGHT):
            return f"{_LACKS_A_RIGHT}; {login.remedy}"
        return failure.reason
    reason = f"{failure.reason} ({setting})"
    answer = failure.__context__  # the service's log never has it: it may contain anything
    if not isinstance(answer, psycopg2.Error) or is_misparsed(url):
        return reason
    return f"{reason}. The answer was: {_words(str(answer))}"


def _words(text: str) -> str:
    """Return the error messages of libpq and the server, without hints."""
    lines = [line for line in text.splitlines() if line and not line.startswith(_SKIPPED_PREFIXES)]
    words = dict.fromkeys(
        _SEVERITY.sub("", line.rpartition(" failed: ")[2]).strip() for line in lines
    )
    return printable("; ".join(words))
