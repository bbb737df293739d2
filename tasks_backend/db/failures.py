"""What a failure of the database means for the request: its class decides answer and repetition.

    never sent    the connection could not be made          503, repeated within the deadline
    in doubt      lost after sending: it may have happened  503, repeated only if that is harmless
    rolled back   the server undid it for another's sake    503, repeated within the deadline
    timed out     the server's or our deadline              504, not repeated
    locked        another holds what is needed              503 (409 for an idempotency key)
    resource      disk full, read-only, too many            503, not repeated
    refused       wrong password, no such database, one     503, not repeated, logged as an error
                  that cannot hold Unicode
    configuration no schema, no rights                      503, not repeated, logged as an error
    anything else a bug                                     500, not repeated

psycopg2 gives no SQLSTATE for a lost connection, so those are told apart by when they happen.
"""

import re
from enum import Enum, auto

import psycopg2

_ROLLED_BACK = {"40001", "40P01", "23503"}  # the last: a purge took the owner in the middle
_LOCKED = {"55P03"}
_TIMED_OUT = {"57014"}
_RESOURCE = {"25006"}
_RESOURCE_CLASS = "53"
_CONFIGURATION = {"3D000", "3F000", "42P01", "42501", "42704", "42883"}

# While connecting.
_STATE = re.compile(r"^[^:\n]+: {2}([0-9A-Z]{5}): ", re.MULTILINE)
_REFUSED = {
    "28P01": "password authentication failed",
    "28000": "the login is not let in",
    "3D000": "the database does not exist",
    "42501": "the login may not connect",
    "55000": "the database takes no connections",
}
_REFUSED_CLASSES = {"0A", "22", "28", "42"}  # what the URL asks for is not known or not allowed
_POOLER_CLASS = "08"  # a pooler has one SQLSTATE for everything, and its words are English
_REFUSALS = (
    "authentication failed",
    "does not exist",
    "no pg_hba.conf entry",
    "no such database",
    "no such user",
    "unsupported startup parameter",
)

ENCODING = "UTF8"
"""What a database must be encoded in, so that it can hold every title."""


class Failure(Enum):
    """The classes, from the request's point of view."""

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
    """A statement did not succeed. The text is for the log: a SQLSTATE or the error's type, never
    the server's own words, which may repeat a row.
    """

    def __init__(self, failure: Failure, reason: str) -> None:
        super().__init__(f"{failure.name.lower()} ({reason})")
        self.failure = failure
        self.reason = reason


class WrongEncoding(DatabaseFailure):
    """The database cannot hold Unicode, or not all of it."""

    def __init__(self, encoding: str | None) -> None:
        super().__init__(
            Failure.REFUSED,
            f"the database's encoding is {encoding}, and tasks need {ENCODING}: make a new database"
            f" with CREATE DATABASE ... TEMPLATE template0 ENCODING '{ENCODING}'",
        )


def classify(error: psycopg2.Error, *, lost: bool) -> DatabaseFailure:
    """Return the failure that an error of a statement that was sent stands for."""
    state = error.pgcode
    return DatabaseFailure(_kind(state, lost=lost), state or type(error).__name__)


def classify_connecting(error: Exception) -> DatabaseFailure:
    """Return the failure that an error while connecting stands for: no statement was sent.

    A server's refusal is known by its SQLSTATE, for its words may be in any language; psycopg2
    gives the words alone, into which `libpq.report_sqlstates` has put it. The words are searched
    where there is none, but not kept: where a password was put into an address without being
    encoded, they repeat a part of it.
    """
    if isinstance(error, UnicodeError):
        return DatabaseFailure(Failure.REFUSED, "the host cannot be a name")
    sentence = str(error)
    found = _STATE.search(sentence)
    state = found[1] if found else ""
    if state in _REFUSED:
        return DatabaseFailure(Failure.REFUSED, f"{state}, {_REFUSED[state]}")
    if state[:2] in _REFUSED_CLASSES:
        return DatabaseFailure(Failure.REFUSED, state)
    if not state or state.startswith(_POOLER_CLASS):
        for words in _REFUSALS:
            if words in sentence:
                return DatabaseFailure(Failure.REFUSED, words)
    return DatabaseFailure(Failure.NOT_SENT, state or type(error).__name__)


def _kind(state: str | None, *, lost: bool) -> Failure:
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
