"""From an error of psycopg2 to a database failure, with its class and its sentence (`causes.py`)."""

import re
import socket
from itertools import zip_longest

import psycopg2
from psycopg2.extensions import Diagnostics, parse_dsn

from tasks_backend.db.causes import (
    CONNECTING,
    ERASED,
    LOST,
    MESSAGES,
    MISPARSED,
    NO_ANSWER,
    NO_HOST,
    NO_NAME,
    STATEMENTS,
    UNEXPECTED,
    UNKNOWN,
    Cause,
)
from tasks_backend.db.failures import ConstraintKind, ConstraintViolation, DatabaseFailure
from tasks_backend.db.statements import SCHEMA

_CONSTRAINTS: dict[str, ConstraintKind] = {
    "23001": "foreign_key",
    "23502": "not_null",
    "23503": "foreign_key",
    "23505": "unique",
    "23P01": "exclusion",
}
"""The kinds of constraints, by SQLSTATE; everything else of class 23 is a check."""
_CONSTRAINT_CLASS = "23"

_SQLSTATE = re.compile(r"(?:^|failed: )[^:\n]+: {2}([0-9A-Z]{5}): ", re.MULTILINE)
_FUNCTION = re.compile(r"^LOCATION: +(\w+), ", re.MULTILINE)
_NO_RULE = ("28000", "ClientAuthentication")
_GENERIC = re.compile("|08...|XX...")  # poolers and proxies use one SQLSTATE for all errors


def failure_of(cause: Cause, *facts: str) -> DatabaseFailure:
    """Return the failure, with facts such as the SQLSTATE in its sentence."""
    known = "; ".join(filter(None, facts))
    happened = f"{cause.happened} ({known})" if known else cause.happened
    return DatabaseFailure(cause.failure, f"{happened}: {cause.remedy}")


def classify(error: psycopg2.Error, *, lost: bool) -> DatabaseFailure:
    """Return the failure for an error of a statement that was sent.

    psycopg2 gives no SQLSTATE for a lost connection, nor for an error of libpq itself. Then the server
    may still answer, so the connection is lost too.
    """
    state = error.pgcode or ""
    if state.startswith(_CONSTRAINT_CLASS):
        return _violation(state, error.diag)
    cause = (
        STATEMENTS.get(f"{state} {error.diag.source_function}")
        or STATEMENTS.get(state)
        or STATEMENTS.get(state[:2])
    )
    if cause is None:
        failed = not state and isinstance(error, psycopg2.OperationalError)
        cause = LOST if lost or failed else UNEXPECTED
    return failure_of(cause, state or type(error).__name__)


def unstorable(error: Exception) -> DatabaseFailure:
    """Return the failure for a value that cannot even be sent, such as a NUL in a text."""
    return failure_of(STATEMENTS["22021"], type(error).__name__)


def _violation(state: str, diag: Diagnostics) -> DatabaseFailure:
    """Return the failure for a violated constraint.

    The service's own foreign keys refer to the user's row, which each inserting message makes: it is
    missing only while the account is erased, and then a repetition succeeds.
    """
    kind = _CONSTRAINTS.get(state, "check")
    if kind == "foreign_key" and diag.schema_name == SCHEMA:
        return failure_of(ERASED, state)
    table = f"{diag.schema_name}.{diag.table_name}" if diag.table_name else None
    return ConstraintViolation(
        kind,
        constraint=diag.constraint_name or None,
        table=table,
        column=diag.column_name if kind == "not_null" else None,
    )


def classify_connecting(error: Exception, dsn: str) -> DatabaseFailure:
    """Return the failure for an error while connecting: no statement was sent.

    `libpq.report_sqlstates` adds the SQLSTATE and the server's function to the message, the only
    thing that psycopg2 provides.
    """
    if is_misparsed(dsn):
        return failure_of(MISPARSED)
    cause, state = _connecting_cause(error)
    known = state or (type(error).__name__ if cause is UNKNOWN else "")
    return failure_of(cause, known, address(dsn))


def is_misparsed(dsn: str) -> bool:
    """Whether the host or the database name may contain a part of the password.

    Then neither they nor libpq's message, which repeats them, may be shown.
    """
    target = parse_dsn(dsn)
    return any("@" in target.get(name, "").lstrip("@") for name in ("host", "dbname"))


def address(dsn: str) -> str:
    """Return the host and the port of a URL."""
    target = parse_dsn(dsn)
    host = target.get("host") or target.get("hostaddr") or "localhost"
    return f"{host}:{target.get('port', '5432')}"


def _connecting_cause(error: Exception) -> tuple[Cause, str]:
    """Return the cause of a failed connection, and the SQLSTATE if there is one."""
    if isinstance(error, UnicodeError):
        return NO_HOST, ""
    if isinstance(error, socket.gaierror):
        return NO_NAME, ""
    if isinstance(error, TimeoutError):
        return NO_ANSWER, ""
    message = str(error)
    # With sslmode=prefer there are two refusals, with and without TLS; one may only lack a rule.
    refusals = list(zip_longest(_SQLSTATE.findall(message), _FUNCTION.findall(message)))
    state, function = min(refusals, key=_NO_RULE.__eq__, default=(None, None))
    state = state or ""
    cause = CONNECTING.get(f"{state} {function}") or CONNECTING.get(state)
    if cause is CONNECTING["28000"] or (cause is None and _GENERIC.fullmatch(state)):
        matches = (MESSAGES[words] for words in MESSAGES if re.search(words, message))
        cause = next(matches, cause)
    return cause or CONNECTING.get(state[:2]) or UNKNOWN, state
