"""Classes of database failures. The class decides the response and whether to retry.

    NOT_SENT         no connection                            503, retried within the deadline
    OUTCOME_UNKNOWN  connection lost after sending            503, retried only if idempotent
    ROLLED_BACK      conflict with another transaction        503, retried within the deadline
    TIMED_OUT        statement timeout                        504, not retried
    LOCKED           another transaction holds a lock         503 (409 for an idempotency key)
    RESOURCE         disk full, read-only, too many sessions  503, not retried
    REFUSED          wrong password, no such database, or     503, not retried, logged as an error
                     its encoding is not UTF-8
    CONFIGURATION    no schema, no rights                     503, not retried, logged as an error
    UNEXPECTED       a bug                                    500, not retried

psycopg2 gives no SQLSTATE for a lost connection, so the time of the error decides the class.
"""

import re
from enum import Enum, auto

import psycopg2

_ROLLED_BACK = {"40001", "40P01", "23503"}  # the last: a concurrent purge deleted the owner
_LOCKED = {"55P03"}
_TIMED_OUT = {"57014"}
_RESOURCE = {"25006"}
_RESOURCE_CLASS = "53"
_CONFIGURATION = {"3D000", "3F000", "42P01", "42501", "42704", "42883"}

# While connecting.
_SQLSTATE = re.compile(r"^[^:\n]+: {2}([0-9A-Z]{5}): ", re.MULTILINE)
_REFUSED = {
    "28P01": "password authentication failed",
    "28000": "the login is not let in",
    "3D000": "the database does not exist",
    "42501": "the login may not connect",
    "55000": "the database takes no connections",
}
_REFUSED_CLASSES = {"0A", "22", "28", "42"}  # the URL requests something unknown or not allowed
_POOLER_CLASS = "08"  # a pooler uses one SQLSTATE for all errors; its messages are English
_REFUSALS = (
    "authentication failed",
    "does not exist",
    "no pg_hba.conf entry",
    "no such database",
    "no such user",
    "unsupported startup parameter",
)

ENCODING = "UTF8"
"""The required encoding of the database: it must hold every title."""


class Failure(Enum):
    """The classes; see the module's table."""

    NOT_SENT = auto()
    OUTCOME_UNKNOWN = auto()
    ROLLED_BACK = auto()
    LOCKED = auto()
    TIMED_OUT = auto()
    RESOURCE = auto()
    REFUSED = auto()
    CONFIGURATION = auto()
    UNEXPECTED = auto()


class DatabaseFailure(Exception):
    """A statement failed. The text is for the log: a SQLSTATE or the error's type.

    It never contains the server's message, which may contain a row.
    """

    def __init__(self, failure: Failure, reason: str) -> None:
        super().__init__(f"{failure.name.lower()} ({reason})")
        self.failure = failure
        self.reason = reason


class WrongEncoding(DatabaseFailure):
    """The database's encoding is not UTF-8."""

    def __init__(self, encoding: str | None) -> None:
        super().__init__(
            Failure.REFUSED,
            f"the database's encoding is {encoding}, and tasks need {ENCODING}: make a new database"
            f" with CREATE DATABASE ... TEMPLATE template0 ENCODING '{ENCODING}'",
        )


def classify(error: psycopg2.Error, *, lost: bool) -> DatabaseFailure:
    """Return the failure for an error of a statement that was sent."""
    state = error.pgcode
    return DatabaseFailure(_failure_of(state, lost=lost), state or type(error).__name__)


def classify_connecting(error: Exception) -> DatabaseFailure:
    """Return the failure for an error while connecting: no statement was sent.

    The SQLSTATE identifies a server's refusal, because the message may be in any language.
    `libpq.report_sqlstates` adds it to the message, the only thing that psycopg2 provides. Without
    a SQLSTATE the message is searched for known phrases. It is never kept: it may contain a part of
    a password that was not percent-encoded in the URL.
    """
    if isinstance(error, UnicodeError):
        return DatabaseFailure(Failure.REFUSED, "the host cannot be a name")
    message = str(error)
    match = _SQLSTATE.search(message)
    state = match[1] if match else ""
    if state in _REFUSED:
        return DatabaseFailure(Failure.REFUSED, f"{state}, {_REFUSED[state]}")
    if state[:2] in _REFUSED_CLASSES:
        return DatabaseFailure(Failure.REFUSED, state)
    if not state or state.startswith(_POOLER_CLASS):
        for phrase in _REFUSALS:
            if phrase in message:
                return DatabaseFailure(Failure.REFUSED, phrase)
    return DatabaseFailure(Failure.NOT_SENT, state or type(error).__name__)


def _failure_of(state: str | None, *, lost: bool) -> Failure:
    if state in _ROLLED_BACK:
        return Failure.ROLLED_BACK
    if state in _LOCKED:
        return Failure.LOCKED
    if state in _TIMED_OUT:
        return Failure.TIMED_OUT
    if state in _RESOURCE or (state or "").startswith(_RESOURCE_CLASS):
        return Failure.RESOURCE
    if state in _CONFIGURATION:
        return Failure.CONFIGURATION
    return Failure.OUTCOME_UNKNOWN if lost else Failure.UNEXPECTED
