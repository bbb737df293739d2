"""All SQL of the kit: databases for tests, and what isolation is checked with."""


def create_login(name: str, attributes: str) -> str:
    """Return the statement that creates a login with these attributes."""
    return f"CREATE ROLE {name} LOGIN {attributes}"


def create_database(name: str, owner: str) -> str:
    """Return the statement that creates a database."""
    return f"CREATE DATABASE {name} OWNER {owner}"


def drop_database(name: str) -> str:
    """Return the statement that drops a database in use."""
    return f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"


TABLES = """
SELECT format('%%I.%%I', n.nspname, c.relname), n.nspname || '.' || c.relname, EXISTS (
    SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'user_id' AND NOT a.attisdropped
), c.relrowsecurity, (
    SELECT string_agg(quote_ident(a.attname), ', ') FROM pg_attribute AS a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY (%s)
AND c.relname NOT IN ('alembic_version', 'request_rights')
ORDER BY 1
"""
"""The tables of these schemas: quoted, their names, whether they have a user and policies, and their
columns that can be written."""

FOREIGN_KEYS = """
SELECT format(
    'SELECT count(*) FROM %%s AS a JOIN %%s AS b ON %%s WHERE a.user_id <> b.user_id',
    k.conrelid::regclass, k.confrelid::regclass, (
        SELECT string_agg(format('a.%%I = b.%%I', x.attname, y.attname), ' AND ')
        FROM unnest(k.conkey, k.confkey) AS pair(x, y)
        JOIN pg_attribute AS x ON x.attrelid = k.conrelid AND x.attnum = pair.x
        JOIN pg_attribute AS y ON y.attrelid = k.confrelid AND y.attnum = pair.y
    )
)
FROM pg_constraint AS k
JOIN pg_namespace AS n ON n.oid = k.connamespace
WHERE k.contype = 'f' AND n.nspname = ANY (%s)
AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = k.conrelid AND attname = 'user_id')
AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = k.confrelid AND attname = 'user_id')
"""
"""For each foreign key between users' tables, the statement that counts rows that refer to another
user's row."""

AS_USER = "SELECT set_config('role', %s, true), set_config('app.user_id', %s, true)"
MAY_READ = "SELECT has_table_privilege(%s, %s, 'SELECT, INSERT, UPDATE, DELETE')"


def rows_of(table: str, *, others: bool = False) -> str:
    """Return the statement that reads a user's rows, or all other users', as JSON texts."""
    return f"SELECT to_jsonb(t)::text FROM {table} AS t WHERE user_id {'<>' if others else '='} %s"


def row_security(table: str, *, enabled: bool) -> str:
    """Return the statement that turns the policies of a table on or off."""
    return f"ALTER TABLE {table} {'ENABLE' if enabled else 'DISABLE'} ROW LEVEL SECURITY"


def counted(table: str) -> str:
    """Return the statement that counts the rows that can be seen."""
    return f"SELECT count(*) FROM {table}"


def changed(table: str) -> str:
    """Return the statement that changes every row that can be changed, to the same."""
    return f"UPDATE {table} SET user_id = user_id"


def deleted(table: str) -> str:
    """Return the statement that deletes every row that can be deleted."""
    return f"DELETE FROM {table}"


def copied(table: str, columns: str) -> str:
    """Return the statement that inserts a row from its JSON text."""
    return (
        f"INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE"
        f" SELECT {columns} FROM jsonb_populate_record(NULL::{table}, %s::jsonb)"
    )
