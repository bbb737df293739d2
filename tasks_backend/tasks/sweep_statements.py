"""The SQL that finds users whom Better Auth no longer has. The owner of the tables runs it."""

from tasks_backend.db.statements import SCHEMA

TIMEOUT = "60s"

LOGIN = f"""
SELECT rolsuper OR rolbypassrls, pg_has_role(relowner, 'USAGE') FROM pg_roles, pg_class
JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE rolname = current_user AND nspname = '{SCHEMA}' AND relname = 'users'
"""  # noqa: S608 - a name of ours
"""Whether row-level security never applies to the login, and whether it owns the tables."""

LIFT_POLICIES = f"""
SET LOCAL lock_timeout = '5s';
ALTER TABLE {SCHEMA}.users NO FORCE ROW LEVEL SECURITY
"""
"""Shows all users to the owner. Rolled back at the end; until then, others wait to read `users`."""

USERS = f"SELECT id, created_at FROM {SCHEMA}.users"  # noqa: S608 - a name of ours


def known_subjects(query: str) -> str:
    """Return the SQL for the first column of an operator's query, as text; it may only read."""
    return f"""
SELECT set_config('transaction_read_only', 'on', true), set_config('statement_timeout', '{TIMEOUT}', true);
SELECT DISTINCT subject::text FROM (
{query.strip().rstrip(";")}
) AS known (subject) WHERE subject IS NOT NULL
"""  # noqa: S608 - the operator's own query, with the operator's own login
