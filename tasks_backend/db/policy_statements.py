"""Row-level security for a plugin's table, as the service's own tables have it (decision 0006)."""

import re

from tasks_backend.db.statements import APP_ROLE, USER_SETTING

_TABLE = re.compile(r"([a-z_][a-z0-9_]*)\.[a-z_][a-z0-9_]*")
_PRIVILEGES = {"SELECT", "INSERT", "UPDATE", "DELETE"}


def row_level_security(table: str, *privileges: str) -> str:
    """Return the SQL that shows the rows of a table to the user in their column `user_id` alone.

    For a migration, after the table (`schema.table`) is made. The policy binds the table's owner
    too; a request may do what the privileges (SELECT, INSERT, UPDATE, DELETE) say and no more.
    Raises ValueError for what is none.
    """
    found = _TABLE.fullmatch(table)
    if found is None or not privileges or not set(privileges) <= _PRIVILEGES:
        raise ValueError(f"no schema.table, or no privileges: {table!r}, {privileges!r}")
    granted = f"GRANT {', '.join(privileges)} ON {table}"
    return f"""
    ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
    ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
    CREATE POLICY own_rows ON {table} USING (user_id = current_setting('{USER_SETTING}', true));
    {to_the_service(f"GRANT USAGE ON SCHEMA {found[1]}", granted)}
    """


def to_the_service(*grants: str) -> str:
    """Return the SQL of these grants to the role, or roles, in which messages run."""
    executed = "\n".join(f"EXECUTE '{grant} TO ' || app;" for grant in grants)
    return f"""
    DO $$
    DECLARE
        app text;
    BEGIN
        FOR app IN SELECT quote_ident(rolname) FROM pg_roles WHERE rolname IN (
            '{APP_ROLE}',
            '{APP_ROLE}_' || (SELECT oid FROM pg_database WHERE datname = current_database())
        ) LOOP
            {executed}
        END LOOP;
    END
    $$
    """  # noqa: S608 - names of ours
