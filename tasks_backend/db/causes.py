"""The causes of database failures: the class of each, what happened, and what to do.

The service's log and `doctor` use these tables; `classification.py` finds the row for an error. A
server's error is known by its SQLSTATE and, where one SQLSTATE has several meanings, by the server's
function that raised it: neither depends on the server's language. libpq, poolers and Neon's proxy
give only an English text.
"""

import ssl
from pathlib import Path
from typing import NamedTuple

from tasks_backend.db.failures import Failure

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

NO_ANSWER = MESSAGES["timeout expired|timed out|[Uu]nreachable|[Nn]o route"]
NO_NAME = _absent("the host's name is not known", "correct the host, or check the resolver")
NO_HOST = _refused("the host cannot be a name", "correct the host in the URL")
MISPARSED = _refused(
    "the URL cannot be split into user, password, host, port and database",
    "percent-encode special characters in them (@ is %40, / is %2F, : is %3A, % is %25)",
)
UNKNOWN = _absent("no connection, for a reason without a sentence", "see the server's log")

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
        (
            *("22000", "22001", "22003", "22007", "22008", "22009", "22011", "22015", "2201B"),
            *("2201W", "2201X", "22021", "22023", "22026", "2202E", "22P02", "22P03", "22P05"),
            *("54000", "54001"),
        ),
        Cause(
            Failure.UNSTORABLE,
            "no column can hold a value of the request",
            "refuse it in the plugin's model: too long, too large, a NUL, or not of the column's type",
        ),
    ),
    "42501 ExecWithCheckOptions": Cause(
        Failure.FOREIGN_ROW,
        "the statement would store a row of another user",
        "a bug of a plugin: `user_id` must be the caller's",
    ),
    "42501 check_enable_rls": Cause(
        Failure.CONFIGURATION,
        "the login has row_security off, which fails where a policy applies",
        "remove row_security from the settings of the role and of the database",
    ),
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

ERASED = Cause(
    Failure.ROLLED_BACK,
    "the row that this one needs was deleted at the same time",
    "nothing, if an account was just erased",
)
LOST = Cause(
    Failure.OUTCOME_UNKNOWN,
    "the connection broke while a statement ran",
    "check that the server runs and why it closed the connection (restart, pooler, network)",
)
UNEXPECTED = Cause(
    Failure.UNEXPECTED, "the statement failed", "a bug, of the service or of a plugin: report it"
)
LEFT_OPEN = Cause(
    Failure.UNEXPECTED,
    "a statement left its transaction open",
    "a plugin's statements must not begin one",
)
DEADLINE = Cause(
    Failure.TIMED_OUT,
    "no answer by the request's deadline",
    "check the network to the server, and its load",
)
