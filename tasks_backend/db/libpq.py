"""The SQLSTATE and the text of a connection error, which psycopg2 does not provide."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import psycopg2.extensions

_VERBOSE = 2  # PQERRORS_VERBOSE


def _libpq_function(name: str) -> Any:
    """Return a function of the libpq that psycopg2 loads; None if libpq is statically linked."""
    try:
        return getattr(ctypes.CDLL(psycopg2._psycopg.__file__), name)  # noqa: SLF001 - the only way to its libpq
    except (AttributeError, OSError):
        return None


_set_verbosity = _libpq_function("PQsetErrorVerbosity")
if (_error_message := _libpq_function("PQerrorMessage")) is not None:
    _error_message.restype = ctypes.c_char_p


def report_sqlstates(connection: Any) -> None:
    """Make libpq add the SQLSTATE to each error message of this psycopg2 connection.

    psycopg2 does not provide the SQLSTATE of a connection error, and the message is in the server's
    language. Does nothing if libpq's functions are not accessible.
    """
    if _set_verbosity is not None:
        _set_verbosity(ctypes.c_void_p(connection.pgconn_ptr), _VERBOSE)


@contextmanager
def errors_with_text(connection: Any) -> Iterator[None]:
    """Raise OperationalError with the server's message if psycopg2 cannot decode it.

    Before a session has an encoding, the message is in the encoding of the server's locale. psycopg2
    then raises UnicodeDecodeError, or with Python 3.11.2 an OperationalError without a text.
    """
    try:
        yield
    except UnicodeDecodeError as error:
        raise psycopg2.OperationalError(error.object.decode(errors="replace")) from None
    except psycopg2.OperationalError as error:
        if error.args or _error_message is None:
            raise
        message: bytes = _error_message(ctypes.c_void_p(connection.pgconn_ptr))
        raise psycopg2.OperationalError(message.decode(errors="replace")) from None


class ConnectionWithText(psycopg2.extensions.connection):
    """A blocking connection whose refusal has a text."""

    def __init__(self, dsn: str) -> None:
        with errors_with_text(self):
            super().__init__(dsn)
