"""Row-level security for a plugin's table, as on the service's own tables (decision 0006)."""

import re

from tasks_backend.db.rights_statements import make_record, record_rights
from tasks_backend.db.statements import SERVICE_ROLES, USER_SETTING

_TABLE = re.compile(r"([a-z_][a-z0-9_]*)\.([a-z_][a-z0-9_]*)")
_PRIVILEGES = {"SELECT", "INSERT", "UPDATE", "DELETE"}


def row_level_security(table: str, *privileges: str) -> str:
    """Return the SQL that limits each user to the table's rows with their id in `user_id`.

    Run it in a migration, after creating the table (`schema.table`). The policy applies to the
    table's owner too. A request gets only the given privileges (SELECT, INSERT, UPDATE, DELETE).
    It also records them in the schema: if a dump loses the policy or the rights, `migrate` makes
    them again. Raises ValueError for another privilege, or a name that is not `schema.table`.
    """
    match = _TABLE.fullmatch(table)
    if match is None or not privileges or not set(privileges) <= _PRIVILEGES:
        raise ValueError(f"no schema.table, or no privileges: {table!r}, {privileges!r}")
    schema, name = match.groups()
    return f"""
    ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
    ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
    CREATE POLICY own_rows ON {table} USING (user_id = current_setting('{USER_SETTING}', true));
    {make_record(schema)};
    {record_rights(schema, name, privileges)};
    DO $$
    DECLARE
        app text;
    BEGIN
        FOR app IN SELECT quote_ident(rolname) FROM pg_roles WHERE rolname IN ({SERVICE_ROLES}) LOOP
            EXECUTE 'GRANT USAGE ON SCHEMA {schema} TO ' || app;
            EXECUTE 'GRANT {", ".join(privileges)} ON {table} TO ' || app;
        END LOOP;
    END
    $$
    """  # noqa: S608 - names of ours
