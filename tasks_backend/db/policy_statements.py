"""Row-level security for a plugin's table, as on the service's own tables (decision 0006)."""

import re

from tasks_backend.db.statements import APP_ROLE, USER_SETTING

_TABLE = re.compile(r"([a-z_][a-z0-9_]*)\.[a-z_][a-z0-9_]*")
_PRIVILEGES = {"SELECT", "INSERT", "UPDATE", "DELETE"}


def row_level_security(table: str, *privileges: str) -> str:
    """Return the SQL that limits each user to the table's rows with their id in `user_id`.

    Run it in a migration, after creating the table (`schema.table`). The policy applies to the
    table's owner too. A request gets only the given privileges (SELECT, INSERT, UPDATE, DELETE).
    Raises ValueError for another privilege, or a name that is not `schema.table`.
    """
    match = _TABLE.fullmatch(table)
    if match is None or not privileges or not set(privileges) <= _PRIVILEGES:
        raise ValueError(f"no schema.table, or no privileges: {table!r}, {privileges!r}")
    granted = f"GRANT {', '.join(privileges)} ON {table}"
    return f"""
    ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
    ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
    CREATE POLICY own_rows ON {table} USING (user_id = current_setting('{USER_SETTING}', true));
    {grant_to_service_roles(f"GRANT USAGE ON SCHEMA {match[1]}", granted)}
    """


def grant_to_service_roles(*grants: str) -> str:
    """Return the SQL that gives these grants to the roles in which messages run."""
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
