"""The SQL that starts every message, and the compilation of statements to SQL text.

A message is one simple query: the caller's identity, then the statement. PostgreSQL runs it as one
transaction; the settings of the identity end with that transaction (decision 0001).
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

from pydantic_core import to_jsonable_python
from sqlalchemy import ARRAY, Boolean, Uuid, text
from sqlalchemy.dialects.postgresql import psycopg2
from sqlalchemy.sql.expression import Executable
from sqlalchemy.types import NullType, TypeEngine

from tasks_backend.former_names import warn_of_former_name

SCHEMA = "tasks_backend"
REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006")
"""The schema's revisions, oldest first; this code needs the last. Checked by a test."""
APP_ROLE = "tasks_app"
USER_SETTING = "app.user_id"
JOB_MARK = "\x01"
"""Begins the identity of a job in USER_SETTING: no user's id has a control character."""

RESERVED = "tasks_backend_"
"""Prefix of the service's own parameters. Statements must not have such parameters."""
ROLE = f"{RESERVED}role"
STATEMENT_TIMEOUT = f"{RESERVED}statement_timeout"
CALLER = "user_id"
"""The parameter for the caller's id, in the identity and in the statement."""

AS_ROLE = f"SELECT set_config('role', %({ROLE})s, true)"
_IDENTITY = (
    f"{AS_ROLE}, set_config('{USER_SETTING}', %({CALLER})s, true)"
    f", set_config('statement_timeout', %({STATEMENT_TIMEOUT})s, true)"
    ", set_config('TimeZone', 'UTC', true)"
)
_RESERVED_SETTINGS = {
    # The settings of the identity, and those that would undo it or change a message's meaning.
    "role",
    USER_SETTING,
    "statement_timeout",
    "timezone",
    "session_authorization",
    "row_security",
    "search_path",
    "client_encoding",
}

SERVICE_ROLES = f"""'{APP_ROLE}', '{APP_ROLE}_' || (
    SELECT oid FROM pg_database WHERE datname = current_database()
)"""  # noqa: S608 - names of ours
"""The two names that the role of requests may have (see `MAKE_ROLE`), for SQL."""
MAY_SET_ROLE = (
    """CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END"""
)
"""For `pg_has_role`: since PostgreSQL 16, a member may lack the right to switch to the role."""

ROLE_OF_LOGIN = f"""
SELECT coalesce(
    (
        SELECT app.rolname FROM pg_roles AS app WHERE app.rolname IN ({SERVICE_ROLES})
        AND NOT app.rolsuper AND NOT app.rolbypassrls
        AND pg_has_role(app.oid, {MAY_SET_ROLE})
        AND has_schema_privilege(app.oid, to_regnamespace('{SCHEMA}')::oid, 'USAGE')
        ORDER BY app.rolname LIMIT 1
    ),
    CASE WHEN NOT (login.rolsuper OR login.rolbypassrls) THEN 'none' END
)
FROM pg_roles AS login WHERE login.rolname = current_user
"""  # noqa: S608 - names of ours
"""The role that row-level security restricts: one granted to the login, or the login itself."""

PING = "SELECT 1"

ensure_user = text(f"""
    INSERT INTO {SCHEMA}.users (id)
    SELECT CAST(:{CALLER} AS text) WHERE NOT starts_with(:{CALLER}, chr({ord(JOB_MARK)}))
    ON CONFLICT DO NOTHING
""")
"""Makes the caller's row in `users`, unless the caller is a job. Messages that take a lock first use it directly."""
_INSERTS = re.compile(r"\b(?:INSERT|MERGE)\s+INTO\b", re.IGNORECASE)


def revision_of(schema: str) -> str:
    """Return the message that reads the revision of a schema: the service's or a plugin's."""
    return f"""
    {AS_ROLE};
    SELECT version_num FROM {schema}.alembic_version
    """  # noqa: S608 - a name of ours


def _json(value: object) -> str:
    """Return JSON, also for times, ids, models and the like."""
    return json.dumps(value, default=to_jsonable_python)


_DIALECT = psycopg2.dialect(json_serializer=_json)  # type: ignore[no-untyped-call] # untyped in SQLAlchemy
_Convert = Callable[[Any], Any]


@dataclass(frozen=True)
class Statement:
    """One or more SQLAlchemy constructs, compiled once; the last one's rows are the result.

    `idempotent`: sending it twice has the same effect as once, so the service may retry it if the
    answer was lost. True for a read, or a write with an idempotency key.
    `ensures_user`: the message first inserts the caller's row into `users`, if it is missing, because
    tables with a `user_id` refer to it. None means: if a construct has an INSERT or a MERGE, and none is
    `ensure_user`.
    `settings`: PostgreSQL settings for this message only, such as planner settings.
    """

    constructs: tuple[Executable, ...]
    idempotent: bool
    ensures_user: bool | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    sql: str = field(init=False, repr=False)
    message: str = field(init=False, repr=False)
    """The SQL that is sent: the identity and the settings, then the statement."""
    fixed: Mapping[str, Any] = field(init=False, repr=False)
    """The values that the constructs set themselves, ready to send."""
    passed: Mapping[str, _Convert | None] = field(init=False, repr=False)
    """The parameters that a call must pass, each with its conversion or None."""

    def __post_init__(self) -> None:
        compiled = [_compile(*each) for each in enumerate(self.constructs)]
        object.__setattr__(self, "sql", ";\n".join(part.sql for part in compiled))
        settings = "".join(_setting(*setting) for setting in self.settings.items())
        ensures = self.ensures_user
        if ensures is None:
            ensures = ensure_user not in self.constructs and bool(_INSERTS.search(self.sql))
        first = f"{ensure_user.compile(dialect=_DIALECT)};\n" if ensures else ""
        object.__setattr__(self, "message", f"{_IDENTITY}{settings};\n{first}{self.sql}")
        fixed, passed = _parameters(compiled)
        object.__setattr__(self, "fixed", fixed)
        object.__setattr__(self, "passed", passed)

    def parameters(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is sent for the parameters of a call, which cannot replace a literal.

        Raises TypeError if one is missing.
        """
        values = {**given, **self.fixed}
        for name, convert in self.passed.items():
            if name not in values:
                raise TypeError(f"the statement needs the parameter {name!r}")
            if convert is not None:
                values[name] = convert(values[name])
        return values


class _Compiled(NamedTuple):
    """A construct, with its part of `Statement.fixed` and `Statement.passed`."""

    sql: str
    fixed: Mapping[str, Any]
    passed: Mapping[str, _Convert | None]


_PLACEHOLDER = re.compile(r"%%|%\((.*?)\)s")


def _compile(number: int, construct: Any) -> _Compiled:
    """Compile a construct.

    SQLAlchemy gives literals of different constructs the same names (`param_1`). They are renamed, so
    that the names are unique in the message and no call can pass them.

    Raises TypeError for anything but a construct, and ValueError for a reserved name or for a list that
    each call would pass.
    """
    if not hasattr(construct, "compile"):
        raise TypeError(f"a {type(construct).__name__} is no construct: wrap SQL in text()")
    compiled = construct.compile(dialect=_DIALECT)
    binds = [
        (compiled.escaped_bind_names.get(name, name), bind)
        for bind, name in compiled.bind_names.items()
    ]
    sql, values = str(compiled), compiled.params
    if any(bind.expanding for _, bind in binds):
        absent = {bind.key: None for name, bind in binds if bind.required}
        expanded = compiled.construct_expanded_state(absent)
        sql, values = expanded.statement, expanded.parameters
    fixed: dict[str, Any] = {}
    passed: dict[str, _Convert | None] = {}
    new_names: dict[str, str] = {}
    for name, bind in binds:
        if name.startswith(RESERVED):
            raise ValueError(f"the parameter {name!r} is reserved for the service")
        if bind.expanding and bind.required:
            raise ValueError(
                f"{name!r}: a list that each call passes is an array, as in"
                f" column == any_(bindparam({name!r}, type_=ARRAY(Uuid)))"
            )
        if name == CALLER:  # any value here is ignored
            continue
        convert = _converter(bind.type)
        if values.get(name) is None and not (bind.unique or bind.expanding):
            passed[name] = convert
            continue
        own = [name]
        if bind.expanding:  # each literal of a list has a name
            own = [each for each in values if re.fullmatch(rf"{re.escape(name)}(?:_[0-9]+)+", each)]
        for each in own:
            new_names[each] = f"{RESERVED}{number}_{each}" if bind.unique else each
            fixed[new_names[each]] = values[each] if convert is None else convert(values[each])

    def placeholder(found: re.Match[str]) -> str:
        return f"%({new_names.get(found[1], found[1])})s" if found[1] else found[0]

    return _Compiled(_PLACEHOLDER.sub(placeholder, sql), fixed, passed)


def _parameters(compiled: Iterable[_Compiled]) -> tuple[dict[str, Any], dict[str, _Convert | None]]:
    """Return `Statement.fixed` and `Statement.passed`.

    Raises ValueError for a name with two values, and for a name that one construct sets and another
    expects from the call.
    """
    fixed: dict[str, Any] = {}
    passed: dict[str, _Convert | None] = {}
    for part in compiled:
        for name, value in part.fixed.items():
            if fixed.setdefault(name, value) != value:
                raise ValueError(f"the constructs disagree on {name!r}")
        for name, convert in part.passed.items():
            passed[name] = convert or passed.get(name)
    for name in passed.keys() & fixed.keys():
        raise ValueError(f"the constructs disagree on {name!r}")
    return fixed, passed


def _converter(kind: TypeEngine[Any]) -> _Convert | None:
    """Return what makes a value of this type one that psycopg2 can send; None if it is one already.

    It is SQLAlchemy's own conversion, except that an id may also be a text, and that a value without a
    type, as in `text()`, is converted by its own type.
    """
    if isinstance(kind, NullType):
        return _plain
    if isinstance(kind, Uuid):
        return _id
    if isinstance(kind, ARRAY):
        item = _converter(kind.item_type)
        return lambda value: value if value is None else [*map(item or _unchanged, value)]
    if isinstance(kind, Boolean):
        return None
    return kind.dialect_impl(_DIALECT).bind_processor(_DIALECT)


def _unchanged(value: Any) -> Any:
    return value


def _id(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, dict):
        return _json(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    return _id(value)


def statement(
    *constructs: Executable,
    idempotent: bool | None = None,
    ensures_user: bool | None = None,
    settings: Mapping[str, str] | None = None,
    **former: str,
) -> Statement:
    """Compile the constructs to one statement. Call it at import, never in a request.

    `Statement` explains the arguments; `idempotent` is required. A call cannot replace literals, nor
    `user_id`, which is always the caller's id. A message that inserts rows also makes the caller's row
    in `users`. Pass `ensures_user=True` if only a function of the database inserts, and False if the
    row always exists.

    Raises ValueError

    - if constructs disagree on a value;
    - if a parameter's name starts with `tasks_backend_`;
    - for `in_()` with a list that each call passes;
    - if a setting's name or value is not a word, or if the setting changes a message's role, time
      limit or meaning.
    """
    if "repeatable" in former:
        warn_of_former_name("repeatable", "idempotent")
        idempotent = bool(former.pop("repeatable"))
    if former:
        warn_of_former_name(", ".join(former), "settings={}")
    if idempotent is None:
        raise TypeError("statement() needs to know whether it is idempotent")
    return Statement(constructs, idempotent, ensures_user, {**(settings or {}), **former})


def _setting(name: str, value: str) -> str:
    if not re.fullmatch(r"[\w.]+ [\w.]+", f"{name} {value}", re.ASCII):
        raise ValueError(f"{name!r} = {value!r} is no setting")
    if name.lower() in _RESERVED_SETTINGS:  # PostgreSQL ignores case
        raise ValueError(f"the setting {name!r} is the service's: no statement may change it")
    return f", set_config('{name}', '{value}', true)"
