"""Connecting as the service does, and the sentence for a person when that does not work."""

import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg2.extensions import parse_dsn

from tasks_backend.db.connection import Connection, connect
from tasks_backend.db.failures import DatabaseFailure, Failure, WrongEncoding
from tasks_backend.doctor.findings import shown
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
        "let the server offer TLS, or beside it set sslmode=disable",
    ),
    ("certificate|SSL|sslmode|root", "check sslmode and sslrootcert"),
    ("[Ee]ndpoint", "copy the address again from Neon's console"),
)
_FAILURES = {
    Failure.OUTCOME_UNKNOWN: "the connection broke, so look at the server and the pooler",
    Failure.ROLLED_BACK: "the server gave way to another transaction, so try again",
    Failure.LOCKED: "another transaction holds what is needed, so try again",
    Failure.TIMED_OUT: "the server is slow, so look at its load and its locks",
    Failure.RESOURCE: "the server is read-only, full or has no connections left",
    Failure.CONFIGURATION: "something is missing in the schema, so run `tasks-backend migrate`",
}
_NO_RIGHT = "42501"
_SEVERITY = re.compile(r"^[^:]+: {2}([0-9A-Z]{5}: )?")
_BESIDE = ("\t", "LOCATION: ")


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Connection]:
    """Lend a connection of one's own. Raises DatabaseFailure."""
    connection = await connect(url, timeout=CONNECT_TIMEOUT)
    try:
        yield connection
    finally:
        connection.close()


def explain(failure: DatabaseFailure, setting: str, url: str, login: Login | None = None) -> str:
    """Return why the database did not do it, and what may help."""
    if failure.failure not in {Failure.NOT_SENT, Failure.REFUSED}:
        if login and _NO_RIGHT in str(failure):
            return f"the login lacks a right ({_NO_RIGHT}); {login.remedy}"
        reason = str(failure).partition(" ")[2]
        return f"{_FAILURES.get(failure.failure, 'the statement was refused')} {reason}"
    if _fell_apart(url):
        return (
            f"{setting} does not come apart into user, password, host, port and database:"
            " percent-encode what is special in them (@ is %40, / is %2F, : is %3A, % is %25)"
        )
    cause = failure.__context__  # what the service's log does not show: libpq's own words
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
    """Return libpq's reasons in a server's or its own words, without its hints."""
    lines = [line for line in text.splitlines() if line and not line.startswith(_BESIDE)]
    reasons = dict.fromkeys(
        _SEVERITY.sub("", line.rpartition(" failed: ")[2]).strip() for line in lines
    )
    return shown("; ".join(reasons))


def _fell_apart(url: str) -> bool:
    """Whether a part of the password may have ended up in another part of the address.

    Then no part may be shown, and libpq's words, which repeat them, may not either.
    """
    parts = parse_dsn(url)
    return any("@" in parts.get(name, "") for name in ("host", "dbname"))
