"""What psycopg2 keeps to itself while it connects: the SQLSTATE and the bytes of a refusal."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2

_VERBOSE = 2  # PQERRORS_VERBOSE


def _function(name: str) -> Any:
    """Return a function of the libpq that psycopg2 uses, or None if psycopg2 contains it."""
    try:
        return getattr(ctypes.CDLL(psycopg2._psycopg.__file__), name)  # noqa: SLF001 - it alone leads there
    except (AttributeError, OSError):
        return None


_set_verbosity = _function("PQsetErrorVerbosity")


def report_sqlstates(connection: Any) -> None:
    """Have libpq put the SQLSTATE into the message of each error of this psycopg2 connection.

    While connecting, psycopg2 offers no other way to it, and the words are in the server's
    language. Where libpq cannot be reached nothing changes.
    """
    if _set_verbosity is not None:
        _set_verbosity(ctypes.c_void_p(connection.pgconn_ptr), _VERBOSE)


@contextmanager
def decoded() -> Iterator[None]:
    """Raise psycopg2.OperationalError where psycopg2 fails to decode a server's refusal.

    Before a session has an encoding, a server's words come in that of its own locale.
    """
    try:
        yield
    except UnicodeDecodeError as error:
        raise psycopg2.OperationalError(error.object.decode(errors="replace")) from None
