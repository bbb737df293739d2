"""A plugin's statement cannot change the caller's identity, whatever its columns are called."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any
from uuid import UUID

import pytest
from psycopg2.extensions import parse_dsn
from pydantic import BaseModel
from sqlalchemy import (
    ARRAY,
    Boolean,
    Column,
    Date,
    DateTime,
    Executable,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    Uuid,
    any_,
    bindparam,
    column,
    func,
    insert,
    literal,
    literal_column,
    select,
    text,
    tuple_,
    values,
)
from sqlalchemy import Enum as EnumType
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from tasks_backend import Plugin, statement
from tasks_backend.db import migrations
from tasks_backend.db.connection import Row
from tasks_backend.db.database import CallerDatabase, Database
from tasks_backend.db.pool import Pool
from tasks_backend.db.statements import Statement
from tasks_backend.errors import DatabaseUnavailable
from tasks_backend.http.caller import Caller
from tasks_backend.testing.databases import NEON_OWNER, Cluster

MIGRATION = """
from alembic import op

from tasks_backend import row_level_security

revision, down_revision = "0001", None


def upgrade():
    op.execute('''
        CREATE TABLE tasks_backend_members.members (
            user_id text NOT NULL REFERENCES tasks_backend.users ON DELETE CASCADE,
            role text, statement_timeout text, "TimeZone" text, statement text, caller text,
            self text, parameters text, "odd (name) %s." text
        )
    ''')
    op.execute(row_level_security("tasks_backend_members.members", ["SELECT", "INSERT"]))
"""

COLUMNS = ("role", "statement_timeout", "TimeZone", "statement", "caller", "self", "parameters")
ODD = "odd (name) %s."
members = Table(
    "members",
    MetaData(schema="tasks_backend_members"),
    *(Column(name, Text) for name in ("user_id", *COLUMNS, ODD)),
)

IDENTITY = text("""
    SELECT left(current_user, 9), current_setting('app.user_id'),
        current_setting('statement_timeout'), current_setting('TimeZone'),
        (SELECT count(*) FROM tasks_backend_members.members WHERE user_id <> 'alice')
""")
ALICE = ("tasks_app", "alice", "5s", "UTC", 0)
"""The identity of Alice's message (in some databases tasks_app_<number>), and the number of
others' rows that it sees."""


@pytest.fixture(scope="module")
def deployment(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database, reached as Neon's owner, whom no policy binds; Bob has a row in it."""
    directory = tmp_path_factory.mktemp("members")
    (directory / "0001_members.py").write_text(MIGRATION)
    name, url = cluster.database(cluster.login(NEON_OWNER))
    migrations.upgrade(url, [Plugin("members", migrations=directory)])
    with cluster.cursor(name) as cursor:
        cursor.execute("INSERT INTO tasks_backend.users (id) VALUES ('alice'), ('bob')")
        cursor.execute("INSERT INTO tasks_backend_members.members VALUES ('bob')")
    return url


def run_as_alice(url: str, sent: Statement, parameters: dict[str, Any]) -> list[Row]:
    async def run() -> list[Row]:
        database = Database(Pool(url, size=1, wait=5, connect_timeout=5), statement_timeout=5)
        caller = Caller("alice", asyncio.get_running_loop().time() + 30)
        try:
            return await CallerDatabase(database, caller).run(sent, **parameters)
        finally:
            database.close()

    return asyncio.run(run())


@pytest.mark.proves("SC-003", "FR-010")
@pytest.mark.parametrize("given", ["keyword", "literal", "both"])
def test_a_column_of_any_name_gets_its_value_and_the_caller_is_unchanged(
    deployment: str, given: str
) -> None:
    wished = {**dict.fromkeys(COLUMNS, "none"), "statement_timeout": "0"}
    added = insert(members)
    if given == "keyword":
        added = added.values({name: bindparam(name) for name in ("user_id", *COLUMNS)})
    else:
        added = added.values(wished)
        added = added.values(user_id="bob" if given == "literal" else bindparam("user_id"))
    asked = {} if given == "literal" else {**wished, "user_id": "bob"}
    if given == "both":
        asked = dict.fromkeys(asked, "somebody else's")
    added = added.returning(*(members.c[name] for name in ("user_id", *COLUMNS)))
    (row,) = run_as_alice(deployment, statement(added, idempotent=False), asked)
    assert row == ("alice", *wished.values())
    sent = statement(added, IDENTITY, idempotent=False)
    assert [tuple(map(str, row)) for row in run_as_alice(deployment, sent, asked)] == [
        tuple(map(str, ALICE))
    ]


@pytest.mark.proves("SC-003", "FR-010")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("role", "none"),
        ("user_id", "bob"),
        ("app.user_id", "bob"),
        ("statement_timeout", "0"),
        ("tasks_backend_role", "none"),
        ("tasks_backend_user_id", "bob"),
        ("tasks_backend_statement_timeout", "0"),
        ("tasks_backend.role", "none"),
        ("caller", Caller("bob", 0)),
        ("statement", "SELECT 1"),
        ("self", None),
    ],
)
def test_parameters_of_a_call_cannot_replace_the_identity(
    deployment: str, name: str, value: object
) -> None:
    """Not even with an unknown name: a route may pass on all fields of a body."""
    sent = statement(IDENTITY, idempotent=True)
    assert run_as_alice(deployment, sent, {name: value}) == [ALICE]


@pytest.mark.parametrize(
    "construct",
    [
        select(bindparam("tasks_backend_role", type_=Text)),
        select(bindparam("tasks_backend_role", "none")),
        select(bindparam("tasks_backend.role", type_=Text)),
        select(bindparam("tasks_backend_statement_timeout", type_=Text)),
        text("SELECT :tasks_backend_role"),
        text("SELECT :tasks_backend_anything"),
        insert(Table("t", MetaData(), Column("tasks_backend_role", Text))),
        insert(Table("t", MetaData(), Column("tasks_backend_role", Text))).values(
            tasks_backend_role="none"
        ),
    ],
    ids=lambda construct: str(construct).replace("\n", ""),
)
def test_a_statement_that_uses_a_reserved_name_is_refused_at_import(construct: Executable) -> None:
    for constructs in ((construct,), (IDENTITY, construct), (construct, IDENTITY)):
        with pytest.raises(ValueError, match=r"'tasks_backend_.*' is reserved for the service"):
            statement(*constructs, idempotent=True)


@pytest.mark.proves("SC-003")
@pytest.mark.parametrize(
    "name",
    [
        "role",
        "ROLE",
        "session_authorization",
        "app.user_id",
        "App.User_Id",
        "row_security",
        "search_path",
        "statement_timeout",
        "timezone",
        "TimeZone",
        "client_encoding",
    ],
)
def test_a_setting_that_would_change_the_identity_is_refused_at_import(name: str) -> None:
    with pytest.raises(ValueError, match=rf"the setting '{name}' is the service's"):
        statement(IDENTITY, idempotent=True, settings={name: "none"})


def test_every_setting_of_the_identity_is_reserved() -> None:
    sent = statement(IDENTITY, idempotent=True).message.partition(";\n")[0]
    names = [part.split("'")[1] for part in sent.split("set_config(")[1:]]
    assert len(names) >= 4
    for name in names:
        with pytest.raises(ValueError, match="is the service's"):
            statement(IDENTITY, idempotent=True, settings={name: "x"})


def test_a_setting_of_the_planner_or_of_the_plugin_is_accepted(deployment: str) -> None:
    sent = statement(
        text("SELECT current_setting('enable_seqscan'), current_setting('audit.reason')"),
        IDENTITY,
        idempotent=True,
        settings={"enable_seqscan": "off", "lock_timeout": "2s", "audit.reason": "none"},
    )
    assert run_as_alice(deployment, sent, {}) == [ALICE]
    wrong = {"enable_seqscan": "off', true), set_config('role"}
    with pytest.raises(ValueError, match="is no setting"):
        statement(IDENTITY, idempotent=True, settings=wrong)


def test_a_literal_is_not_replaced_by_a_parameter(deployment: str) -> None:
    """So a route can pass on a body's fields and still set the role itself."""
    for role in ("member", None):
        added = insert(members).values(user_id=bindparam("user_id"), role=role)
        sent = statement(added.returning(members.c.role), idempotent=False)
        assert run_as_alice(deployment, sent, {"role": "owner"}) == [(role,)]


def test_one_name_for_a_literal_and_a_parameter_is_refused() -> None:
    literal: Any = select(bindparam("role", "member"))
    asked = select(members.c.user_id).where(members.c.role == bindparam("role"))
    for constructs in ((literal, asked), (asked, literal)):
        with pytest.raises(ValueError, match="the constructs disagree on 'role'"):
            statement(*constructs, idempotent=False)
    with pytest.raises(ValueError, match="the constructs disagree on 'role'"):
        statement(literal, select(bindparam("role", "owner")), idempotent=False)


def test_percent_signs_and_odd_names_are_taken_literally(deployment: str) -> None:
    added = insert(members).values({"user_id": bindparam("user_id"), ODD: "100 %(role)s"})
    found = select(
        members.c[ODD],
        literal_column("'%(role)s %% %'"),
        func.concat(bindparam("a (b) %s", "%(user_id)s"), bindparam("x", type_=Text)),
    ).where(members.c[ODD] == "100 %(role)s")
    percent = text("SELECT '%(role)s', '50%', '%%' WHERE :x LIKE '%' AND 5 % 3 = 2")
    parameters = {"x": "%(tasks_backend_role)s", "role": "none"}
    sent = statement(added, found, idempotent=False)
    assert run_as_alice(deployment, sent, parameters) == [
        ("100 %(role)s", "%(role)s %% %", "%(user_id)s%(tasks_backend_role)s")
    ]
    sent = statement(percent, idempotent=True)
    assert run_as_alice(deployment, sent, parameters) == [("%(role)s", "50%", "%%")]
    assert run_as_alice(deployment, statement(percent, IDENTITY, idempotent=True), parameters) == [
        ALICE
    ]


def test_a_column_with_a_python_default_is_a_parameter(deployment: str) -> None:
    """A column default that Python computes for each row is not a literal: the call passes it."""
    table = Table(
        "members",
        MetaData(schema="tasks_backend_members"),
        Column("user_id", Text),
        Column("role", Text, default=lambda: "made"),
    )
    added = insert(table).values(user_id=bindparam("user_id")).returning(table.c.role)
    sent = statement(added, idempotent=False)
    assert run_as_alice(deployment, sent, {"role": "passed"}) == [("passed",)]


@pytest.mark.proves("SC-003")
@pytest.mark.parametrize("leaves", ["RESET ROLE", "SET ROLE none", "COMMIT"])
def test_raw_sql_that_resets_the_role_has_no_rights_with_a_separate_login(
    cluster: Cluster, deployment: str, leaves: str
) -> None:
    """The service does not parse SQL (docs/plugins.md)."""
    name, login = str(parse_dsn(deployment)["dbname"]), cluster.login("NOINHERIT")
    ((role,),) = run_as_alice(
        deployment, statement(text("SELECT current_user"), idempotent=True), {}
    )
    with cluster.cursor() as cursor:
        cursor.execute(f"GRANT {role} TO {login}")
    url = cluster.url_of(name, login)
    assert run_as_alice(url, statement(IDENTITY, idempotent=True), {}) == [ALICE]
    everybodys = select(members.c.user_id)
    owned = run_as_alice(deployment, statement(text(leaves), everybodys, idempotent=True), {})
    assert ("bob",) in owned, "it is the login that keeps it, and nothing else"
    with pytest.raises(DatabaseUnavailable):
        run_as_alice(url, statement(text(leaves), everybodys, idempotent=True), {})


class Colour(Enum):
    RED = "red"


class Shade(StrEnum):
    DARK = "dark"


class Size(IntEnum):
    BIG = 3


class Fields(BaseModel):
    id: UUID


ID, AT = UUID(int=7), datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
VALUES: list[tuple[TypeEngine[Any], Any, Any]] = [
    (Text(), None, None),
    (Text(), "50% 'x' \\ :y %(z)s", "50% 'x' \\ :y %(z)s"),
    (Text(), Shade.DARK, "dark"),
    (Integer(), Size.BIG, 3),
    (Integer(), None, None),
    (Boolean(), True, True),
    (Numeric(), Decimal("1.50"), Decimal("1.50")),
    (Uuid(), ID, str(ID)),
    (Uuid(), str(ID), str(ID)),
    (Uuid(), None, None),
    (DateTime(timezone=True), AT, AT),
    (Date(), date(2026, 1, 2), date(2026, 1, 2)),
    (Interval(), timedelta(seconds=7), timedelta(seconds=7)),
    (EnumType(Colour, native_enum=False), Colour.RED, "RED"),
    (JSONB(), {"a": [1, None, "x"]}, {"a": [1, None, "x"]}),
    (JSONB(), [1, {"b": True}], [1, {"b": True}]),
    (JSONB(), "text", "text"),
    (
        JSONB(),
        {"id": ID, "at": AT, "c": Colour.RED},
        {"id": str(ID), "at": "2026-01-02T03:04:05.000006Z", "c": "red"},
    ),
    (JSONB(), Fields(id=ID), {"id": str(ID)}),
    (JSONB(none_as_null=True), None, None),
    (ARRAY(Text), ["a", "b,c", None], ["a", "b,c", None]),
    (ARRAY(Text), [], []),
    (ARRAY(Text), None, None),
    (ARRAY(Integer), (1, 2), [1, 2]),
    (ARRAY(JSONB), [{"a": 1}], [{"a": 1}]),
    (LargeBinary(), b"\x00\xff", b"\x00\xff"),
]


@pytest.mark.proves("FR-020")
@pytest.mark.parametrize(("kind", "value", "stored"), VALUES, ids=repr)
def test_a_value_of_any_type_arrives(
    deployment: str, kind: TypeEngine[Any], value: Any, stored: Any
) -> None:
    passed = statement(select(bindparam("v", type_=kind)), idempotent=True)
    literal = statement(
        select(values(column("v", kind), name="v").data([(value,)])), idempotent=True
    )
    for sent, parameters in ((passed, {"v": value}), (literal, {})):
        ((found,),) = run_as_alice(deployment, sent, parameters)
        assert (bytes(found) if isinstance(found, memoryview) else found) == stored


def test_ids_compare_with_an_array_of_ids(deployment: str) -> None:
    ids = bindparam("ids", type_=ARRAY(Uuid))
    sent = statement(select(literal_column(f"'{ID}'::uuid") == any_(ids)), idempotent=True)
    for given, found in (([ID], True), ([str(ID), UUID(int=8)], True), ([], False)):
        assert run_as_alice(deployment, sent, {"ids": given}) == [(found,)]


def test_values_without_a_type_are_sent_by_their_own(deployment: str) -> None:
    sql = "SELECT CAST(:id AS uuid), CAST(:data AS jsonb), CAST(:ids AS uuid[]) = ARRAY[CAST(:id AS uuid)], :c"
    given = {"id": ID, "data": {"a": ID}, "ids": {ID}, "c": Colour.RED}
    assert run_as_alice(deployment, statement(text(sql), idempotent=True), given) == [
        (str(ID), {"a": str(ID)}, True, "red")
    ]


def test_a_list_of_literal_rows_is_part_of_the_statement(deployment: str) -> None:
    pair = tuple_(literal_column("1"), literal_column("2"))
    sent = statement(select(pair.in_([(1, 2), (3, 4)]), pair.in_([(2, 1)])), idempotent=True)
    assert run_as_alice(deployment, sent, {}) == [(True, False)]


def test_a_list_of_literals_is_part_of_the_statement(deployment: str) -> None:
    wanted = [
        literal_column("2").in_([1, 2]),
        literal_column("2").in_([]),
        literal_column("2").not_in([3]),
    ]
    sent = statement(select(*wanted), select(*wanted, bindparam("x", type_=Text)), idempotent=True)
    assert run_as_alice(deployment, sent, {"x": "y"}) == [(True, False, True, "y")]


@pytest.mark.proves("FR-020")
def test_literals_of_several_constructs_and_a_parameter_named_like_one_do_not_clash(
    deployment: str,
) -> None:
    """SQLAlchemy calls the first literal of each construct `param_1`, and an argument `coalesce_1`."""
    own = bindparam("param_1", type_=Integer)
    sent = statement(
        select(literal(1), func.coalesce(None, 5)),
        select(own, text("'50%', '%(param_1)s'")),
        text(
            "INSERT INTO tasks_backend_members.members (user_id, role) VALUES (:user_id, :coalesce_1)"
        ),
        select(
            literal(2),
            func.coalesce(None, literal_column("7").in_([7, 8]), type_=Boolean),
            func.coalesce(None, 6),
        ),
        idempotent=True,
    )
    for given in ({}, {"tasks_backend_3_param_1": 9, "param_1_1": 9}):
        found = run_as_alice(deployment, sent, {"param_1": 3, "coalesce_1": "x", **given})
        assert found == [(2, True, 6)]
    passed = statement(select(literal(1)), select(own, text("'%(param_1)s'")), idempotent=True)
    assert run_as_alice(deployment, passed, {"param_1": 3}) == [(3, "%(param_1)s")]


@pytest.mark.parametrize(
    ("construct", "kind", "sentence"),
    [
        (
            select(members.c.role.in_(bindparam("roles"))),
            ValueError,
            "'roles': a list that each call",
        ),
        ("SELECT 1", TypeError, r"a str is no construct: wrap SQL in text\(\)"),
        (None, TypeError, "a NoneType is no construct"),
    ],
    ids=str,
)
def test_what_cannot_be_compiled_is_refused_at_import(
    construct: Any, kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=sentence):
        statement(construct, idempotent=True)


def test_a_call_without_a_parameter_or_with_an_unknown_type_is_a_clear_error(
    deployment: str,
) -> None:
    sent = statement(text("SELECT :note"), idempotent=True)
    with pytest.raises(TypeError, match="the statement needs the parameter 'note'"):
        run_as_alice(deployment, sent, {})
    with pytest.raises(TypeError, match="a parameter cannot be sent: can't adapt type 'object'"):
        run_as_alice(deployment, sent, {"note": object()})
