"""One database for both programs, in either order of migration."""

import json
from typing import Any

import pytest

from better_auth.log import Say
from better_auth.programs import Deployment
from tasks_backend.db import migrations

THEIRS, OURS = "public", "tasks_backend"
TABLES = {
    THEIRS: ["account", "jwks", "session", "user", "verification"],
    OURS: ["alembic_version", "idempotency_keys", "jobs", "tasks", "users"],
}
DEFINITIONS = """
SELECT 'column', table_name, column_name,
    concat_ws(' ', data_type, is_nullable, column_default)
FROM information_schema.columns WHERE table_schema = %(schema)s
UNION ALL
SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = %(schema)s::regnamespace
UNION ALL
SELECT 'index', tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = %(schema)s
UNION ALL
SELECT 'policy', tablename, policyname, concat_ws(' ', roles, cmd, qual, with_check)
FROM pg_policies WHERE schemaname = %(schema)s
UNION ALL
SELECT 'grant', table_name, grantee, privilege_type
FROM information_schema.table_privileges WHERE table_schema = %(schema)s
ORDER BY 1, 2, 3, 4
"""


def migrate(deployment: Deployment, schema: str) -> list[str]:
    """Migrate one of the two; return the tables that Better Auth reports, or Alembic's output."""
    if schema == OURS:
        return [deployment.run("tasks-backend", "migrate").strip()]
    touched: list[str] = json.loads(deployment.run("node", "driver/migrate.mjs"))
    return touched


def definitions(deployment: Deployment, schema: str) -> list[tuple[Any, ...]]:
    return deployment.rows(DEFINITIONS, schema=schema)


def tables(deployment: Deployment, schema: str) -> list[str]:
    return sorted({row[1] for row in definitions(deployment, schema) if row[0] == "column"})


@pytest.mark.proves("FR-007")
@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(THEIRS, OURS, id="Better Auth first"),
        pytest.param(OURS, THEIRS, id="tasks_backend first"),
    ],
)
def test_both_schemas_live_in_one_database(
    empty: Deployment, say: Say, first: str, second: str
) -> None:
    migrate(empty, first)
    alone = definitions(empty, first)
    assert tables(empty, first) == TABLES[first]
    say(f"{first} migrated: {', '.join(TABLES[first])}")

    migrate(empty, second)
    assert tables(empty, second) == TABLES[second]
    say(f"{second} migrated: {', '.join(TABLES[second])}")
    assert definitions(empty, first) == alone
    say(f"{first} is as it was: {len(alone)} columns, constraints, indexes, policies and grants")

    migrations.check(empty.database)
    say("alembic check: no drift")
    both = definitions(empty, THEIRS), definitions(empty, OURS)
    assert migrate(empty, THEIRS) == []
    migrate(empty, OURS)
    assert (definitions(empty, THEIRS), definitions(empty, OURS)) == both
    say("both migrated again: nothing to do")

    migrations.downgrade(empty.database)
    assert definitions(empty, THEIRS) == both[0]
    migrations.upgrade(empty.database)
    assert definitions(empty, OURS) == both[1]
    say(f"{OURS} downgraded and upgraded: {THEIRS} is as it was")
