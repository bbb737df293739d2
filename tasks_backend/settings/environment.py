"""The environment of the service's own processes: `.env` enters it, libpq's variables leave it.

Only a process of the service's own is changed: a command, or a worker of `serve`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from dotenv import dotenv_values

from tasks_backend.settings import ENV_FILE, ENV_FILE_ENCODING, Settings
from tasks_backend.settings.pasted import clean

_LIBPQ = """
    PGAPPNAME PGCHANNELBINDING PGCLIENTENCODING PGCONNECT_TIMEOUT PGDATABASE PGDATESTYLE PGGEQO
    PGGSSDELEGATION PGGSSENCMODE PGGSSLIB PGHOST PGHOSTADDR PGKRBSRVNAME PGLOADBALANCEHOSTS
    PGLOCALEDIR PGMAXPROTOCOLVERSION PGMINPROTOCOLVERSION PGOAUTHDEBUG PGOPTIONS PGPASSFILE
    PGPASSWORD PGPORT PGREQUIREAUTH PGREQUIREPEER PGREQUIRESSL PGSERVICE PGSERVICEFILE PGSSLCERT
    PGSSLCERTMODE PGSSLCOMPRESSION PGSSLCRL PGSSLCRLDIR PGSSLKEY PGSSLMAXPROTOCOLVERSION
    PGSSLMINPROTOCOLVERSION PGSSLMODE PGSSLNEGOTIATION PGSSLROOTCERT PGSSLSNI PGSYSCONFDIR
    PGTARGETSESSIONATTRS PGTZ PGUSER
"""
LIBPQ = frozenset(_LIBPQ.split())
"""The variables that libpq reads itself (PostgreSQL 18, "Environment Variables")."""
_OF_LIBRARIES = ("OTEL_", "PROMETHEUS_")


def libpq_variables() -> list[str]:
    """Return the names of libpq's variables that are set."""
    return sorted(name for name in LIBPQ if os.environ.get(name))


def remove_libpq_variables() -> list[str]:
    """Remove libpq's variables, so that a database URL alone says how to connect.

    Returns the names of those that were set.
    """
    names = libpq_variables()
    for name in LIBPQ:
        os.environ.pop(name, None)
    return names


def add_file() -> list[str]:
    """Add the variables of `.env` that are not set and are no settings of the service.

    Libraries and plugins read those from the environment. White space and quotes around the values
    of OTEL_* and PROMETHEUS_* are removed, as they are for settings. Returns the added names.
    """
    try:
        values = dotenv_values(ENV_FILE, encoding=ENV_FILE_ENCODING)
    except (OSError, UnicodeDecodeError):
        values = {}  # loading the settings reports it
    own = LIBPQ | {name.upper() for name in Settings.model_fields}
    added = [
        name
        for name, value in values.items()
        if value and clean(value) and name.upper() not in own and not os.environ.get(name)
        if "=" not in name and "\0" not in name + value  # which the system does not take
    ]
    os.environ |= {name: values[name] or "" for name in added}
    for name in [name for name in os.environ if name.startswith(_OF_LIBRARIES)]:
        os.environ[name] = clean(os.environ[name])
        if not os.environ[name]:
            del os.environ[name]
    return added


@contextmanager
def file_added() -> Iterator[None]:
    """Add the variables of `.env` for the block only. Processes started later read the file again."""
    added = add_file()
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
