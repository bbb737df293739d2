"""How PostgreSQL executes each message: its indexes, its order and its number of pages."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg2
import pytest
from sqlalchemy import Text, cast, func, select
from support.plan_cases import EACH, FILL, MESSAGES, PAGES, Message, page
from support.plans import Messages
from support.statements import STATEMENTS

from tasks_backend.db import migrations
from tasks_backend.db.statements import statement
from tasks_backend.tasks import account_statements, statements
from tasks_backend.tasks.list_statements import PAGES as LISTS
from tasks_backend.tasks.list_statements import PageForm
from tasks_backend.testing.databases import NEON_OWNER, Cluster

_PAGE: Any = LISTS[PageForm("desc")].constructs[0]
_BY_TITLE = _PAGE.order_by(None).order_by(func.lower(statements.task.title))
_AS_TEXT = cast(statements.task.id, Text) == cast(statements.TASK_ID, Text)
_MINE = statements.task.user_id == statements.USER_ID
ALL = MESSAGES | PAGES
DEFECTS = {
    "newest": statement(_BY_TITLE, idempotent=True),
    "get": statement(select(*statements.RETURNED).where(_AS_TEXT, _MINE), idempotent=True),
}
IMPORT = """
INSERT INTO tasks_backend.tasks (id, user_id, title)
SELECT uuidv7(), 'person-8', 'Imported' FROM generate_series(1, 5000)
"""


@pytest.fixture(scope="module")
def filled(cluster: Cluster) -> Iterator[tuple[Messages, dict[str, list[str]]]]:
    """A connection to such a database as its owner, and each user's task ids, oldest first."""
    name, url = cluster.database(cluster.login(NEON_OWNER))
    migrations.upgrade(url)
    tasks = {}
    with cluster.cursor(name) as cursor:
        cursor.execute(FILL)
        for table in ("users", "tasks", "idempotency_keys"):
            cursor.execute(f"VACUUM (ANALYZE) tasks_backend.{table}")
        for user in ("large", "person-7", "person-8"):
            cursor.execute(
                "SELECT id::text FROM tasks_backend.tasks WHERE user_id = %s ORDER BY id", (user,)
            )
            tasks[user] = [task for (task,) in cursor.fetchall()]
    with contextlib.closing(psycopg2.connect(url)) as connection:
        yield Messages(connection.cursor()), tasks


@pytest.fixture
def messages(filled: tuple[Messages, dict[str, list[str]]]) -> Iterator[Messages]:
    yield filled[0]
    filled[0].cursor.connection.rollback()


@pytest.fixture
def tasks(filled: tuple[Messages, dict[str, list[str]]]) -> dict[str, list[str]]:
    return filled[1]


def check(messages: Messages, message: Message, user: str, own: list[str]) -> None:
    """Check a message against its limits, by the server's counts and by its plans."""
    values = message.values(own)
    counts = messages.counts(message.statement, user, **values)
    assert not +counts.sequential_scans
    assert counts.blocks <= message.blocks
    for plan in messages.plans(message.statement, user, **values):
        assert not plan.of_type("Seq Scan"), plan.nodes
        assert plan.indexes <= message.indexes, plan.nodes
        sorts = plan.of_type("Sort", "Incremental Sort")
        assert not [sort for sort in sorts if sort["Plan Rows"] > message.sorted_rows], plan.nodes
        if message.statement in LISTS.values():  # or it reads more than a page
            assert not plan.of_type("Bitmap Heap Scan"), plan.nodes


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("user", ["large", "person-7"])
def test_a_message_reads_few_pages(
    messages: Messages, tasks: dict[str, list[str]], name: str, user: str
) -> None:
    check(messages, ALL[name], user, tasks[user])


def test_a_page_after_an_import_of_many_tasks_reads_few_pages(messages: Messages) -> None:
    messages.cursor.execute(IMPORT)
    check(messages, page("desc", None, limit=101, blocks=140), "person-8", [])


@pytest.mark.parametrize("name", ["update all", "delete all", "update all once"])
def test_a_bulk_change_after_an_import_joins_nothing(messages: Messages, name: str) -> None:
    """The statistics do not know the tasks, so a join could be quadratic."""
    messages.cursor.execute(IMPORT)
    values = MESSAGES[name].values([]) | {"pattern": None}
    plans = messages.plans(MESSAGES[name].statement, "person-8", **values)
    for plan in plans:
        assert not plan.of_type("Nested Loop", "Hash Join", "Merge Join"), plan.nodes


@pytest.mark.parametrize("name", ["get", "patch", "toggle", "toggle once", "delete", "whose"])
def test_another_users_task_reads_no_more_pages(
    messages: Messages, tasks: dict[str, list[str]], name: str
) -> None:
    """The counts include the scans of the ownership function."""
    message = MESSAGES[name]
    counts = messages.counts(message.statement, "person-8", **message.values(tasks["person-7"]))
    assert not +counts.sequential_scans
    assert counts.blocks <= message.blocks


def test_erasing_an_account_reads_no_other_account(
    messages: Messages, tasks: dict[str, list[str]]
) -> None:
    erase = Message(
        account_statements.ERASE,
        lambda _: {},
        frozenset({"ix_tasks_list", "pk_users", "ix_idempotency_keys_user_id_expires_at"}),
        blocks=8 * EACH,
    )
    check(messages, erase, "person-7", tasks["person-7"])


def test_every_statement_is_covered() -> None:
    looked_at = {message.statement.sql for message in ALL.values()}
    assert {name for name, one in STATEMENTS.items() if one.sql not in looked_at} == set()


def test_the_check_fails_for_a_list_without_its_index(
    messages: Messages, tasks: dict[str, list[str]]
) -> None:
    messages.cursor.execute("DROP INDEX tasks_backend.ix_tasks_list")
    with pytest.raises(AssertionError):
        check(messages, PAGES["newest"], "person-7", tasks["person-7"])


@pytest.mark.parametrize("name", DEFECTS)
def test_the_check_fails_for_an_expensive_statement(
    messages: Messages, tasks: dict[str, list[str]], name: str
) -> None:
    costly = replace(ALL[name], statement=DEFECTS[name])
    with pytest.raises(AssertionError):
        check(messages, costly, "person-7", tasks["person-7"])


@pytest.mark.parametrize("setting", [("work_mem; --", "1"), ("work_mem", "1'")])
def test_settings_of_a_statement_must_be_words(setting: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="is no setting"):
        statement(select(1), idempotent=True, settings=dict([setting]))
