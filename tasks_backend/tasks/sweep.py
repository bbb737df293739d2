"""Users of this service whom Better Auth no longer has.

The service's users are read before the known subjects, so a user who signs up meanwhile is not erased.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from tasks_backend.db.migration_session import MigrationError, engine, first_line
from tasks_backend.tasks.account import AccountError
from tasks_backend.tasks.sweep_statements import LIFT_POLICIES, LOGIN, USERS, known_subjects
from tasks_backend.terminal import pluralise


@dataclass(frozen=True)
class SubjectList:
    """The subjects that are known, from a file, and when it was written."""

    subjects: frozenset[str]
    written_at: datetime


@dataclass(frozen=True)
class Comparison:
    """The service's users, compared with the known subjects."""

    users: int
    known: int
    unknown: list[str]
    """The users who are not among the known subjects."""
    newer: int
    """Number of users who are not among them either, but came after the list was written."""

    def refusal(self, at_most: int | None) -> str | None:
        """Return why the unknown users must not be erased, or None.

        `at_most`: how many may be erased. None: half of all, and at least one user must be known.
        """
        count = pluralise(len(self.unknown), "user")
        if at_most is not None:
            return (
                f"{count} would be erased: more than --at-most"
                if len(self.unknown) > at_most
                else None
            )
        consent = f"if it is right, allow it with --at-most {len(self.unknown)}"
        if not self.known:
            return f"no subject is known, so everybody would be erased: {consent}"
        if len(self.unknown) + self.newer == self.users:
            return (
                f"none of the {pluralise(self.users, 'user')} is among the"
                f" {pluralise(self.known, 'known subject')}: it must be the `sub` of the tokens; {consent}"
            )
        if len(self.unknown) > self.users / 2:
            return f"{count} of {self.users} would be erased, more than half: {consent}"
        return None


def parse_subjects(text: bytes) -> frozenset[str]:
    """Return the subjects of a JSON array of texts or whole numbers.

    A list that was cut off is no JSON, so its missing end erases nobody. Raises ValueError.
    """
    found = json.loads(text)
    if not isinstance(found, list) or not all(type(each) in {str, int} for each in found):
        raise ValueError("it must be a JSON array of texts or whole numbers")
    return frozenset(map(str, found))


def compare(url: str, known: str | SubjectList) -> Comparison:
    """Compare the users with the known subjects: an SQL query for them, or a list.

    `url` is that of the tables' owner. Raises AccountError.
    """
    try:
        with engine(url).connect().execution_options(no_parameters=True) as connection:
            users = _users(connection)
            if isinstance(known, SubjectList):
                subjects, written_at = known.subjects, known.written_at
            else:
                rows = connection.exec_driver_sql(known_subjects(known))
                subjects, written_at = frozenset(subject for (subject,) in rows), None
    except MigrationError as error:
        raise AccountError(str(error)) from None
    except DBAPIError as error:
        raise AccountError(first_line(error)) from None
    missing = [(id_, created) for id_, created in users if id_ not in subjects]
    unknown = [id_ for id_, created in missing if written_at is None or created <= written_at]
    return Comparison(len(users), len(subjects), sorted(unknown), len(missing) - len(unknown))


def _users(connection: Connection) -> Sequence[tuple[str, datetime]]:
    login = connection.exec_driver_sql(LOGIN).first()
    if login is None:
        raise AccountError("the schema is not there: run `tasks-backend migrate`")
    bypasses, owns = login
    if not (bypasses or owns):
        raise AccountError(
            "this login sees one user at a time: set DATABASE_URL_UNPOOLED to the owner's URL"
        )
    if not bypasses:
        connection.exec_driver_sql(LIFT_POLICIES)
    users = [(id_, created_at) for id_, created_at in connection.exec_driver_sql(USERS)]
    connection.rollback()
    return users
