"""The database URL as people paste it, and why one cannot be used.

No reason contains a part of the password, also if the URL cannot be split as it was meant.
"""

import re
from urllib.parse import unquote

import psycopg2
from psycopg2.extensions import parse_dsn

from tasks_backend.settings.pasted import QUOTES, clean

_FORM = "postgresql://user:password@host/database"
_NO_URL = f"is no PostgreSQL URL: it must look like {_FORM}"
_ENCODE = (
    "cannot be split into user, password, host and database: percent-encode special characters in"
    " the user and the password (@ is %40, / is %2F, : is %3A, ? is %3F, # is %23, % is %25)"
)
_NOT_UTF8 = "is not UTF-8: percent-encode special characters as UTF-8 (ä is %C3%A4)"
_PRISMA = {
    "connection_limit",
    "pgbouncer",
    "pool_timeout",
    "schema",
    "single_use_connections",
    "socket_timeout",
    "sslaccept",
    "sslidentity",
    "statement_cache_size",
}
_CHOICES = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "channel_binding": ("disable", "prefer", "require"),
    "target_session_attrs": (
        "any",
        "read-write",
        "read-only",
        "primary",
        "standby",
        "prefer-standby",
    ),
}


def read_database_url(text: str) -> str:
    """Return libpq's form of a URL as Neon, Heroku, SQLAlchemy or `psql` write it.

    Raises ValueError with the reason.
    """
    value = _without_psql(text)
    if not _is_unicode(value):
        raise ValueError(_NOT_UTF8)
    if not value:
        raise ValueError("is empty")
    if value[0] in QUOTES or ("://" in value and value[-1] in QUOTES):
        raise ValueError("has a quotation mark at its start or end: remove it")
    scheme = re.match(r"(?:jdbc:)?([A-Za-z0-9]+)(?:\+\w+)?://", value)
    if scheme:
        if scheme[0].startswith("jdbc:") or scheme[1].lower() not in {"postgres", "postgresql"}:
            raise ValueError(_NO_URL)
        rest = value[scheme.end() :]
        value = f"postgresql://{rest}"
        _check_parts(rest)
    try:
        parameters = parse_dsn(value)
    except psycopg2.ProgrammingError:  # its message may contain the password
        raise ValueError(_NO_URL) from None
    except UnicodeError:
        raise ValueError(_NOT_UTF8) from None
    _check_parameters(parameters)
    return value


def _without_psql(text: str) -> str:
    """Return the URL in a command such as `psql 'postgresql://…'`, as Neon's console copies it."""
    value = clean(text)
    command = re.match(r"psql\s+", value)
    if command:
        value = clean(value[command.end() :])
        if value.startswith("-"):
            raise ValueError("is a psql command with options: give only its postgresql:// URL")
    elif re.match(r"(?:export\s+)?[A-Z_]+\s*=\s*[\"']?postgres\w*://", value):
        raise ValueError("begins with a variable's name: give only what follows the =")
    return value


def _check_parts(rest: str) -> None:
    """Check a URL after its scheme: `user:password@host:port/database?parameters`."""
    if re.search(r"[\0-\x1f\x7f]", rest):
        raise ValueError("has a line break or another control character inside: remove it")
    before, at, after = rest.partition("@")
    has_login = bool(at) and "/" not in before  # as libpq looks for it
    address, _, query = (after if has_login else rest).partition("?")
    has_no_host = not has_login and address.startswith("/")
    if "@" in address or ("@" in query and not has_no_host):
        raise ValueError(_ENCODE)
    if re.search(r"%(?![0-9A-Fa-f]{2})|%00", rest):
        raise ValueError("has a % that is not percent-encoded: write it as %25")
    password = before.partition(":")[2] if has_login else ""
    if password and not password.strip("*•"):
        raise ValueError("has asterisks for a password: show the password before you copy the URL")
    for pair in query.split("&") if query else ():
        _check_parameter(pair, query, may_name=has_login)


def _check_parameter(pair: str, query: str, *, may_name: bool) -> None:
    """Refuse a parameter that libpq does not know; name it only if it cannot be a secret.

    `may_name`: a login stands before it. Without one, the password may contain the question mark.
    """
    name = unquote(pair.partition("=")[0])
    is_known = pair == "ssl=true" or _is_parameter(name)
    if is_known and pair.count("=") == 1:
        return
    may_name = may_name or name in _PRISMA or name == "ssl"
    if "pass" in unquote(query) or not may_name or not re.fullmatch(r"\w{1,40}", name):
        raise ValueError(
            "has something after the ? that is no parameter of PostgreSQL: correct or remove it,"
            " and percent-encode special characters (@ is %40, & is %26, ? is %3F)"
        )
    if is_known:
        raise ValueError("needs name=value after the ? and each &; a further = is %3D")
    if name in _PRISMA:
        raise ValueError(f"has the parameter {name}, which is Prisma's: remove it")
    if name == "ssl":
        raise ValueError("has the parameter ssl: write sslmode=require instead")
    raise ValueError(f"has the parameter {name}, which PostgreSQL does not have: remove it")


def _is_parameter(name: str) -> bool:
    try:
        return bool(name.isidentifier() and parse_dsn(f"{name}=x"))
    except psycopg2.ProgrammingError:
        return False


def _is_unicode(text: str) -> bool:
    """Whether a value of the environment was UTF-8: Python keeps other bytes as surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _check_parameters(parameters: dict[str, str]) -> None:
    for port in parameters.get("port", "").split(","):
        if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 2**16):
            raise ValueError("has a port that is no number from 1 to 65535")
    hosts = parameters.get("host", "").split(",")
    if "hostaddr" not in parameters and "service" not in parameters:
        if not all(hosts):
            raise ValueError(f"names no host: {_FORM}, or ?host=/directory for a socket")
        if not all(map(_is_host, hosts)):
            raise ValueError(f"has a host that cannot be a name, or {_ENCODE}")
    for name in ("host", "dbname", "user"):
        if re.search(r"[;&,]\s*\w+\s*=|^\w+=", parameters.get(name, "")):
            raise ValueError(f"has parameters in its {name}: they follow one ? and are joined by &")
    for name, choices in _CHOICES.items():
        if name in parameters and parameters[name] not in choices:
            raise ValueError(f"has a wrong {name}: it must be {', '.join(choices)}")


def _is_host(text: str) -> bool:
    """Return whether a name can be resolved, or is the directory of a socket."""
    try:
        text.encode("idna")
    except UnicodeError:
        return text.startswith(("/", "@"))
    return text.startswith(("/", "@")) or not re.search(r"[\s@\"'`<>]", text)
