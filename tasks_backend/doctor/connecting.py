"""Connect as the service does, and explain failures."""

import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg2.extensions import parse_dsn

from tasks_backend.db.connection import Connection, connect
from tasks_backend.db.failures import DatabaseFailure, Failure, WrongEncoding
from tasks_backend.doctor.findings import printable
from tasks_backend.doctor.login import Login

CONNECT_TIMEOUT = 5.0  # seconds

_ADVICE = (
    ("28P01|password authentication failed|no password", "check the user and the password"),
    ("3D000|database .* does not exist", "create the database, or correct its name"),
    ("role .* does not exist", "correct the user's name"),
    ("refused|No such file", "check the host and the port, and that the server runs"),
    ("time|[Uu]nreachable|[Nn]o route", "check the host, the port and the firewall"),
    ("57P03|starting up|shutting down|recovery mode", "wait a moment and try again"),
    ("53300|too many|connection slots|max_client", "close connections, or use the pooled address"),
    (
        "does not support SSL|negotiation",
        "enable TLS on the server, or set sslmode=disable if it is on this machine",
    ),
    ("certificate|SSL|sslmode|root", "check sslmode and sslrootcert"),
    ("[Ee]ndpoint", "copy the address again from Neon's console"),
)
_FAILURES = {
    Failure.OUTCOME_UNKNOWN: "the connection broke: check the server and the pooler",
    Failure.ROLLED_BACK: "it was rolled back because of a conflicting transaction: try again",
    Failure.LOCKED: "another transaction holds a lock: try again",
    Failure.TIMED_OUT: "the server is slow: check its load and its locks",
    Failure.RESOURCE: "the server is read-only, full or has no connections left",
    Failure.CONFIGURATION: "something is missing in the schema: run `tasks-backend migrate`",
}
_INSUFFICIENT_PRIVILEGE = "42501"
_SEVERITY = re.compile(r"^[^:]+: {2}([0-9A-Z]{5}: )?")
_SKIPPED_PREFIXES = ("\t", "LOCATION: ")


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
        if login and _INSUFFICIENT_PRIVILEGE in str(failure):
            return f"the login lacks a privilege ({_INSUFFICIENT_PRIVILEGE}); {login.remedy}"
        reason = str(failure).partition(" ")[2]
        return f"{_FAILURES.get(failure.failure, 'the statement was refused')} {reason}"
    if _is_misparsed(url):
        return (
            f"{setting} cannot be split into user, password, host, port and database:"
            " percent-encode special characters in them (@ is %40, / is %2F, : is %3A, % is %25)"
        )
    cause = failure.__context__  # libpq's message, which the service does not log
    if isinstance(cause, TimeoutError):
        return f"no answer within {CONNECT_TIMEOUT:g} s; check the host, the port and the firewall"
    if isinstance(failure, WrongEncoding):
        return failure.reason
    if isinstance(cause, socket.gaierror):
        return f"the host's name is not known; check {setting}"
    reasons = _reasons(str(cause))
    for pattern, advice in _ADVICE:
        if re.search(pattern, f"{failure.reason} {reasons}"):
            return f"{reasons}; {advice} ({setting})"
    return f"{reasons or type(cause).__name__}; check {setting}"


def _reasons(text: str) -> str:
    """Return the error messages of libpq and the server, without hints."""
    lines = [line for line in text.splitlines() if line and not line.startswith(_SKIPPED_PREFIXES)]
    reasons = dict.fromkeys(
        _SEVERITY.sub("", line.rpartition(" failed: ")[2]).strip() for line in lines
    )
    return printable("; ".join(reasons))


def _is_misparsed(url: str) -> bool:
    """Whether the host or the database name may contain a part of the password.

    Then neither the parts nor libpq's message, which repeats them, may be shown.
    """
    parts = parse_dsn(url)
    return any("@" in parts.get(name, "") for name in ("host", "dbname"))
