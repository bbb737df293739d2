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
    CONSTRAINT       a constraint of a table is violated      the route decides (ConstraintViolation)
    FOREIGN_ROW      a row of another user                    500, not retried
    UNSTORABLE       a value that no column can hold          422, not retried
    UNEXPECTED       a bug                                    500, not retried

`classification.py` finds the class of an error.
"""

from enum import Enum, auto
from typing import Any, Literal

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
    CONSTRAINT = auto()
    FOREIGN_ROW = auto()
    UNSTORABLE = auto()
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


ConstraintKind = Literal["unique", "exclusion", "foreign_key", "check", "not_null"]


class ConstraintViolation(DatabaseFailure):
    """A statement violated a constraint. Nothing was written.

    A route catches it and raises the failure that its clients should get. Otherwise `unique`,
    `exclusion` and `foreign_key` become 409 `conflict`, because they depend on what is stored. `check`
    and `not_null` become 500: the route should have refused the value. No attribute contains a value.
    """

    def __init__(
        self, kind: ConstraintKind, *, constraint: str | None, table: str | None, column: str | None
    ) -> None:
        """Only a trigger's own error has no `table`, and perhaps no `constraint`.

        `table` is `schema.table`; of a foreign key, the table that has it. `column` is the column of
        `not_null`, else None. `not_null` has no `constraint`.
        """
        name = constraint or column or "without a name"
        super().__init__(
            Failure.CONSTRAINT,
            f"the {kind} constraint {name} of {table or 'a trigger'} is violated",
        )
        self.kind = kind
        self.constraint = constraint
        self.table = table
        self.column = column


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
