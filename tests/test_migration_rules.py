"""Migrations keep requests running: the rules of docs/migrations.md, held on each revision's SQL."""

import io
import re
from collections.abc import Iterator

import pytest
from alembic import command

from tasks_backend.db import migrations
from tasks_backend.db.statements import REVISIONS

VOLATILE = r"(clock_timestamp|timeofday|random|gen_random_uuid|uuid\w*|nextval)\s*\("
REFUSED = {
    "blocks writes while it builds": r"CREATE (UNIQUE )?INDEX (?!CONCURRENTLY)",
    "waits for all queries, and they for it": r"DROP INDEX (?!CONCURRENTLY)",
    "blocks writes while it scans": r"ADD (CONSTRAINT \S+ )?(FOREIGN KEY|CHECK)(?!.*NOT VALID)",
    "blocks all while it builds an index": r"ADD (CONSTRAINT \S+ )?(UNIQUE|PRIMARY KEY)(?! USING INDEX)",
    "blocks all while it scans": r"SET NOT NULL",
    "rewrites the table": rf"ALTER COLUMN \S+ (SET DATA )?TYPE|SET (UN)?LOGGED|SET TABLESPACE"
    rf"|ADD COLUMN .*(DEFAULT.*{VOLATILE}|GENERATED ALWAYS|SERIAL)|^CLUSTER|^VACUUM FULL",
    "fails if the table has rows": r"ADD COLUMN (?!.*DEFAULT).*NOT NULL",
    "breaks the release that still serves": r"DROP (COLUMN|TABLE)|RENAME|DROP FUNCTION",
    "changes all rows in one transaction": r"^(UPDATE|DELETE FROM) ",
    "blocks all until the end": r"^LOCK TABLE|^TRUNCATE",
}
ONLY_UP = {"breaks the release that still serves", "blocks all while it scans"}
"""A step down is for when nothing serves that needs the later revision (docs/migrations.md)."""


def rendered(step: str) -> str:
    """The SQL of `0001:0002`, or of `0002:0001`, as Alembic would run it."""
    output = io.StringIO()
    config = migrations._config()  # noqa: SLF001 - where the scripts are
    config.output_buffer = output
    first, last = step.split(":")
    work = command.upgrade if first == "base" or first < last != "base" else command.downgrade
    work(config, step, sql=True)
    assert "alembic_version" in output.getvalue()
    return output.getvalue()


def statements(sql: str) -> Iterator[str]:
    """Each statement on one line; bodies of functions are left out."""
    sql = re.sub(r"\$\$.*?\$\$", "''", re.sub(r"--.*", "", sql), flags=re.DOTALL)
    yield from filter(None, (" ".join(part.split()) for part in sql.split(";")))


def violations(sql: str, *, up: bool = True) -> list[str]:
    """What is wrong with these statements. Tables that they create are empty, so all is allowed."""
    created: set[str] = set()
    found = []
    for statement in statements(sql):
        if match := re.match(r"CREATE TABLE (?:IF NOT EXISTS )?(\S+)", statement):
            created.add(match[1])
        if "alembic_version" in statement or any(
            f" {name} " in f"{statement} " for name in created
        ):
            continue
        found += [
            f"{why}: {statement}"
            for why, pattern in REFUSED.items()
            if re.search(pattern, statement, re.IGNORECASE)
            and (up or why not in ONLY_UP)
            and not (not up and statement.startswith("DELETE FROM") and " WHERE " in statement)
        ]
    return found


UP = [f"{first}:{last}" for first, last in zip(("base", *REVISIONS), REVISIONS, strict=False)]
DOWN = [":".join(reversed(step.split(":"))) for step in UP[1:]]


@pytest.mark.parametrize("step", UP)
def test_an_upgrade_keeps_requests_running(step: str) -> None:
    assert violations(rendered(step)) == []


@pytest.mark.parametrize("step", DOWN)
def test_a_downgrade_scans_and_rewrites_nothing_large(step: str) -> None:
    assert violations(rendered(step), up=False) == []


@pytest.mark.parametrize(
    "planted",
    [
        "CREATE INDEX ix ON tasks_backend.tasks (title)",
        "create unique index ix on tasks_backend.tasks (title)",
        "CREATE INDEX\n  ix ON tasks_backend.tasks (title)",
        "DROP INDEX tasks_backend.ix_tasks_list",
        "ALTER TABLE tasks_backend.tasks ADD CONSTRAINT c CHECK (version > 0)",
        "ALTER TABLE tasks_backend.tasks ADD FOREIGN KEY (user_id) REFERENCES tasks_backend.users",
        "ALTER TABLE tasks_backend.tasks ADD CONSTRAINT c UNIQUE (id, user_id)",
        "ALTER TABLE tasks_backend.tasks ADD PRIMARY KEY (id)",
        "ALTER TABLE tasks_backend.tasks ALTER COLUMN description SET NOT NULL",
        "ALTER TABLE tasks_backend.tasks ALTER COLUMN version TYPE int",
        "ALTER TABLE tasks_backend.tasks ALTER COLUMN version SET DATA TYPE int",
        "ALTER TABLE tasks_backend.tasks ADD COLUMN x uuid DEFAULT gen_random_uuid()",
        "ALTER TABLE tasks_backend.tasks ADD COLUMN x text NOT NULL",
        "ALTER TABLE tasks_backend.tasks ADD COLUMN x int GENERATED ALWAYS AS (1) STORED",
        "ALTER TABLE tasks_backend.tasks ADD COLUMN x bigserial",
        "ALTER TABLE tasks_backend.tasks DROP COLUMN completed",
        "ALTER TABLE tasks_backend.tasks RENAME title TO name",
        "ALTER TABLE tasks_backend.tasks SET UNLOGGED",
        "DROP TABLE tasks_backend.idempotency_keys",
        "DROP FUNCTION tasks_backend.task_is_foreign(uuid)",
        "UPDATE tasks_backend.tasks SET version = 1",
        "DELETE FROM tasks_backend.tasks WHERE completed",
        "LOCK TABLE tasks_backend.tasks",
        "CREATE TABLE tasks_backend.other (id int);\nCREATE INDEX ix ON tasks_backend.tasks (title)",
    ],
)
def test_a_planted_violation_is_found(planted: str) -> None:
    assert len(violations(planted)) == 1


@pytest.mark.parametrize(
    "allowed",
    [
        "CREATE INDEX CONCURRENTLY ix ON tasks_backend.tasks (title)",
        "ALTER TABLE tasks_backend.tasks ADD CONSTRAINT c CHECK (version > 0) NOT VALID",
        "ALTER TABLE tasks_backend.tasks VALIDATE CONSTRAINT c",
        "ALTER TABLE tasks_backend.tasks ADD CONSTRAINT c UNIQUE USING INDEX ix",
        "ALTER TABLE tasks_backend.tasks ADD COLUMN x boolean NOT NULL DEFAULT false",
        "ALTER TABLE tasks_backend.tasks ADD COLUMN x timestamptz DEFAULT now()",
        "CREATE TABLE tasks_backend.other (id int);\nCREATE INDEX ix ON tasks_backend.other (id)",
    ],
)
def test_what_blocks_nobody_is_allowed(allowed: str) -> None:
    assert violations(allowed) == []


def test_indexes_are_made_outside_of_a_transaction() -> None:
    """As each revision commits before them, an interruption leaves nothing else half done."""
    for step in UP[1:]:
        parts = list(statements(rendered(step)))
        inside = False
        for part in parts:
            inside = part == "BEGIN" or (inside and part != "COMMIT")
            assert not (inside and "CONCURRENTLY" in part), part
