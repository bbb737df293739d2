"""From an error of PostgreSQL to its class and to a sentence: what happened, and what to do.

The service's log and `doctor` use these tables. A server's error is known by its SQLSTATE and, where
one SQLSTATE has several meanings, by the server's function that raised it: neither depends on the
server's language. libpq, poolers and Neon's proxy give only an English text.
"""

import re
import socket
import ssl
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import psycopg2
from psycopg2.extensions import Diagnostics, parse_dsn

from tasks_backend.db.failures import (
    ConstraintKind,
    ConstraintViolation,
    DatabaseFailure,
    Failure,
)
from tasks_backend.db.statements import SCHEMA

MIGRATE = "run `tasks-backend migrate`"
_AUTHORITIES = (
    ssl.get_default_verify_paths().cafile,
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Red Hat
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # macOS
)
AUTHORITIES = next((path for path in _AUTHORITIES if path and Path(path).exists()), _AUTHORITIES[1])
"""The file of the certificate authorities that this machine trusts.

sslrootcert=system does not work with psycopg2-binary: its OpenSSL has no directory on this machine.
"""


class Cause(NamedTuple):
    """One row of a table: the class, what happened, and what to do."""

    failure: Failure
    happened: str
    remedy: str


def _refused(happened: str, remedy: str) -> Cause:
    return Cause(Failure.REFUSED, happened, remedy)


def _absent(happened: str, remedy: str) -> Cause:
    return Cause(Failure.NOT_SENT, happened, remedy)


FOREIGN_ROW = Cause(
    Failure.UNEXPECTED,
    "the statement would store a row of another user",
    "a bug of a plugin: `user_id` must be the caller's",
)
_NO_DATABASE = _refused(
    "the database does not exist", "create the database, or correct its name in the URL"
)
_NO_LOGIN = _refused(
    "the user does not exist, or may not log in", "correct the user's name in the URL"
)
_WRONG_PASSWORD = _refused(
    "the server refuses the user or the password", "check the user and the password in the URL"
)
_PARAMETER = _refused(
    "the server or the pooler refuses a parameter of the URL",
    "remove `options` and the like; give the role or the database such a setting",
)
_NEEDS_TLS = _refused("the server demands TLS", "put sslmode=require or better into the URL")
_STOPPED = _absent(
    "the server is starting, stopping or recovering",
    "wait a minute; if it lasts, see the server's log",
)
_SUSPENDED = _absent(
    "Neon does not start the compute",
    "see Neon's console: the endpoint may be disabled or deleted, or a quota be used up",
)
_POOLER_LIMIT = _absent(
    "the pooler takes no more clients", "lower POOL_SIZE or the number of workers"
)
_CERTIFICATE = _refused(
    "the server's certificate is not signed by the authority in sslrootcert",
    f"name that authority's file; for a public one, such as Neon's, sslrootcert={AUTHORITIES}",
)

CONNECTING = {
    "28P01": _WRONG_PASSWORD,
    "28000 InitializeSessionUserId": _NO_LOGIN,
    "28000": _refused(
        "the server's pg_hba.conf does not let this login in",
        "add a rule for its user, database, address and TLS; if the rule demands TLS, put"
        " sslmode=require into the URL",
    ),
    "3D000": _NO_DATABASE,
    "42501": _refused("the login may not connect to the database", "grant it CONNECT"),
    "55000": _refused("the database takes no connections", "allow them (ALLOW_CONNECTIONS)"),
    "53300 InitializeSessionUserId": _absent(
        "the login's own limit of connections is reached",
        "raise the role's CONNECTION LIMIT, or lower POOL_SIZE or the number of workers",
    ),
    "53300 CheckMyDatabase": _absent(
        "the database's own limit of connections is reached",
        "raise the database's CONNECTION LIMIT, or lower POOL_SIZE or the number of workers",
    ),
    "53300": _absent(
        "all connections of the server are in use (max_connections)",
        "close other sessions, use a pooled address, or lower POOL_SIZE or the number of workers",
    ),
    "57P01": _STOPPED,
    "57P02": _STOPPED,
    "57P03": _STOPPED,
    "0A": _PARAMETER,
    "22": _PARAMETER,
    "28": _WRONG_PASSWORD,
    "42": _PARAMETER,
    "53": _absent("the server lacks memory, disk or connections", "see the server's log"),
}
"""Refusals of a connection, by SQLSTATE and function, SQLSTATE, or class of SQLSTATEs."""

MESSAGES: dict[str, Cause] = {
    # PostgreSQL and PgBouncer
    "no password supplied": _refused(
        "the server wants a password, and the URL has none", _WRONG_PASSWORD.remedy
    ),
    "unsupported startup parameter|unrecognized configuration parameter": _PARAMETER,
    "authentication failed": _WRONG_PASSWORD,
    "no encryption|connection is insecure|SSL required|TLS required": _NEEDS_TLS,
    "no such user|role .* does not exist": _NO_LOGIN,
    "no such database|database .* does not exist": _NO_DATABASE,
    "no pg_hba.conf entry": CONNECTING["28000"],
    "no more connections allowed|max_client_conn": _POOLER_LIMIT,
    "too many connections for role": CONNECTING["53300 InitializeSessionUserId"],
    "too many connections for database": CONNECTING["53300 CheckMyDatabase"],
    "too many clients|connection slots": CONNECTING["53300"],
    "starting up|shutting down|recovery mode|not yet accepting": _STOPPED,
    "server login has been failing|query_wait_timeout|server_login_retry": _absent(
        "the pooler does not reach the server", "check the server, and the pooler's log"
    ),
    # Neon's proxy
    "[Ee]ndpoint ID is not specified": _refused(
        "Neon does not know which endpoint is meant", "copy the URL again from Neon's console"
    ),
    "concurrently active endpoints": _absent(
        "Neon's limit of active endpoints is reached", "suspend another, or raise the plan"
    ),
    "[Cc]ontrol plane|compute node|[Ee]ndpoint|quota|exceeded the": _SUSPENDED,
    "Too many connections attempts|acquire permit": _absent(
        "Neon's proxy is overloaded", "wait; if it lasts, see Neon's status page"
    ),
    # libpq
    "root certificate file": _refused(
        "the file of certificate authorities is missing (sslrootcert)",
        f"name one in the URL: sslrootcert={AUTHORITIES} for a public authority, such as Neon's, or"
        " the file of your own",
    ),
    "certificate verify failed": _CERTIFICATE,
    "does not match host name": _refused(
        "the server's certificate is for another host name",
        "use a name of the certificate in the URL, or check sslmode",
    ),
    "does not support SSL": _refused(
        "the server has no TLS, and the URL demands it",
        "enable it on the server, or set sslmode=disable if it is on this machine",
    ),
    "channel binding": _refused(
        "the server offers no channel binding", "remove channel_binding=require from the URL"
    ),
    "^invalid |^missing .* parameter": _refused(
        "a parameter of the URL is not valid", "check sslmode and the other parameters"
    ),
    "(private key|certificate) file": _refused(
        "the client's certificate or key cannot be read", "correct sslcert and sslkey"
    ),
    "standby mode|read-only|read-write": _absent(
        "no server has the wanted target_session_attrs", "give the address of the primary"
    ),
    "Connection refused": _absent(
        "nothing listens at the address", "check the host and the port, and that the server runs"
    ),
    "No such file or directory": _absent(
        "there is no such socket", "check the directory and the port, and that the server runs"
    ),
    "timeout expired|timed out|[Uu]nreachable|[Nn]o route": _absent(
        "no answer in time", "check the host, the port and the firewall, and that the server runs"
    ),
    "SSL error|negotiation": _absent(
        "TLS cannot be set up with the server", "check sslmode, sslnegotiation and the port"
    ),
    "closed the connection|EOF detected|reset by peer": _absent(
        "the server or the network broke off while connecting", "see the server's or pooler's log"
    ),
}
"""Refusals of a connection, by words of libpq, of a pooler or of Neon's proxy; the first match."""

_NO_ANSWER = MESSAGES["timeout expired|timed out|[Uu]nreachable|[Nn]o route"]
_NO_NAME = _absent("the host's name is not known", "correct the host, or check the resolver")
_NO_HOST = _refused("the host cannot be a name", "correct the host in the URL")
MISPARSED = _refused(
    "the URL cannot be split into user, password, host, port and database",
    "percent-encode special characters in them (@ is %40, / is %2F, : is %3A, % is %25)",
)
_UNKNOWN = _absent("no connection, for a reason without a sentence", "see the server's log")

CONSTRAINTS: dict[str, ConstraintKind] = {
    "23001": "foreign_key",
    "23502": "not_null",
    "23503": "foreign_key",
    "23505": "unique",
    "23P01": "exclusion",
}
"""The kinds of constraints, by SQLSTATE; everything else of class 23 is a check."""
_CONSTRAINT_CLASS = "23"

STATEMENTS = {
    "40001": Cause(
        Failure.ROLLED_BACK, "it conflicted with another transaction", "nothing; it is retried"
    ),
    "40P01": Cause(
        Failure.ROLLED_BACK, "it was the victim of a deadlock", "nothing; it is retried"
    ),
    "55P03": Cause(
        Failure.LOCKED, "another transaction holds a lock", "look for one that stays open"
    ),
    "57014": Cause(
        Failure.TIMED_OUT,
        "the statement reached its time limit",
        "look for locks and for load of the server (pg_stat_activity), or raise STATEMENT_TIMEOUT",
    ),
    "25006": Cause(
        Failure.RESOURCE,
        "the database is read-only",
        "give the address of the primary; or see default_transaction_read_only and the disk",
    ),
    "53100": Cause(
        Failure.RESOURCE,
        "the server's disk, or the project's size limit, is full",
        "free space, or enlarge it",
    ),
    "53200": Cause(Failure.RESOURCE, "the server has no memory left", "see the server's log"),
    "53": Cause(Failure.RESOURCE, "the server lacks a resource", "see the server's log"),
    **dict.fromkeys(
        ("22001", "22003", "22007", "22008", "22021", "22P02", "22P03", "22P05", "54000", "54001"),
        Cause(
            Failure.UNSTORABLE,
            "no column can hold a value of the request",
            "refuse it in the plugin's model: too long, too large, or not of the column's type",
        ),
    ),
    "42501 ExecWithCheckOptions": FOREIGN_ROW,
    "42501": Cause(
        Failure.CONFIGURATION, "the login lacks a right", f"{MIGRATE}, then `tasks-backend doctor`"
    ),
    "42P01": Cause(Failure.CONFIGURATION, "a table is missing", MIGRATE),
    "42703": Cause(
        Failure.UNEXPECTED, "a column is missing, so the schema may be too old", MIGRATE
    ),
    "42883": Cause(Failure.CONFIGURATION, "a function is missing", MIGRATE),
    "42704": Cause(Failure.CONFIGURATION, "a role or a type is missing", MIGRATE),
    "3F000": Cause(Failure.CONFIGURATION, "the schema is missing", MIGRATE),
    "3D000": Cause(Failure.CONFIGURATION, *_NO_DATABASE[1:]),
}
"""Failures of a statement that was sent, by SQLSTATE and function, SQLSTATE, or class of SQLSTATEs."""

_ERASED = Cause(
    Failure.ROLLED_BACK,
    "the row that this one needs was deleted at the same time",
    "nothing, if an account was just erased",
)
LOST = Cause(
    Failure.OUTCOME_UNKNOWN,
    "the connection broke while a statement ran",
    "check that the server runs and why it closed the connection (restart, pooler, network)",
)
_UNEXPECTED = Cause(
    Failure.UNEXPECTED, "the statement failed", "a bug, of the service or of a plugin: report it"
)
DEADLINE = Cause(
    Failure.TIMED_OUT,
    "no answer by the request's deadline",
    "check the network to the server, and its load",
)

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

    psycopg2 gives no SQLSTATE for a lost connection.
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
        cause = LOST if lost else _UNEXPECTED
    return failure_of(cause, state or type(error).__name__)


def unstorable(error: Exception) -> DatabaseFailure:
    """Return the failure for a value that cannot even be sent, such as a NUL in a text."""
    return failure_of(STATEMENTS["22021"], type(error).__name__)


def _violation(state: str, diag: Diagnostics) -> DatabaseFailure:
    """Return the failure for a violated constraint.

    The service's own foreign keys refer to the user's row, which each inserting message makes: it is
    missing only while the account is erased, and then a repetition succeeds.
    """
    kind = CONSTRAINTS.get(state, "check")
    if kind == "foreign_key" and diag.schema_name == SCHEMA:
        return failure_of(_ERASED, state)
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
    known = state or (type(error).__name__ if cause is _UNKNOWN else "")
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
        return _NO_HOST, ""
    if isinstance(error, socket.gaierror):
        return _NO_NAME, ""
    if isinstance(error, TimeoutError):
        return _NO_ANSWER, ""
    message = str(error)
    # With sslmode=prefer there are two refusals, with and without TLS; one may only lack a rule.
    refusals = list(zip_longest(_SQLSTATE.findall(message), _FUNCTION.findall(message)))
    state, function = min(refusals, key=_NO_RULE.__eq__, default=(None, None))
    state = state or ""
    cause = CONNECTING.get(f"{state} {function}") or CONNECTING.get(state)
    if cause is CONNECTING["28000"] or (cause is None and _GENERIC.fullmatch(state)):
        matches = (MESSAGES[words] for words in MESSAGES if re.search(words, message))
        cause = next(matches, cause)
    return cause or CONNECTING.get(state[:2]) or _UNKNOWN, state
