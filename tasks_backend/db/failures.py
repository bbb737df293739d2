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

`causes.py` says which error belongs to which class.
"""

from enum import Enum, auto
from typing import Any

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
    """A statement failed, or no connection was made.

    The reason says what happened and what to do. It is for operators, and never contains the
    server's message, which may contain a row or a part of a password.
    """

    def __init__(self, failure: Failure, reason: str) -> None:
        super().__init__(reason)
        self.failure = failure
        self.reason = reason


def require_utf8(connection: Any) -> None:
    """Close a connection, and raise DatabaseFailure, if the database's encoding is not UTF-8."""
    encoding = connection.get_parameter_status("server_encoding")
    if encoding != ENCODING:
        connection.close()
        raise DatabaseFailure(
            Failure.REFUSED,
            f"the database's encoding is {encoding}, and tasks need {ENCODING}: make a new database"
            f" with CREATE DATABASE ... TEMPLATE template0 ENCODING '{ENCODING}'",
        )
