"""The SQLSTATE and the text of a connection error, which psycopg2 does not provide."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2

_VERBOSE = 2  # PQERRORS_VERBOSE


def _libpq_function(name: str) -> Any:
    """Return a function of the libpq that psycopg2 loads; None if libpq is statically linked."""
    try:
        return getattr(ctypes.CDLL(psycopg2._psycopg.__file__), name)  # noqa: SLF001 - the only way to its libpq
    except (AttributeError, OSError):
        return None


_set_verbosity = _libpq_function("PQsetErrorVerbosity")


def report_sqlstates(connection: Any) -> None:
    """Make libpq add the SQLSTATE to each error message of this psycopg2 connection.

    psycopg2 does not provide the SQLSTATE of a connection error, and the message is in the server's
    language. Does nothing if libpq's functions are not accessible.
    """
    if _set_verbosity is not None:
        _set_verbosity(ctypes.c_void_p(connection.pgconn_ptr), _VERBOSE)


@contextmanager
def convert_decode_errors() -> Iterator[None]:
    """Raise psycopg2.OperationalError if psycopg2 cannot decode the server's error message.

    Before a session has an encoding, the message is in the encoding of the server's locale.
    """
    try:
        yield
    except UnicodeDecodeError as error:
        raise psycopg2.OperationalError(error.object.decode(errors="replace")) from None
