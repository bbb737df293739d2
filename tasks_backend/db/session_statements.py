"""The SQL of a migration's session: its server process, its lock, and the sessions that block it."""

# ruff: noqa: S608 - names of ours

BACKEND = "SELECT pg_backend_pid()"

_LOCK = 0x7461736B73  # "tasks": one migration at a time per database
LOCK_TIMEOUT = 10  # seconds

TRY_LOCK = f"SELECT pg_try_advisory_lock({_LOCK})"
RESET_OF_THE_ROLE = """
SELECT set_config(name, CASE vartype WHEN 'bool' THEN 'off' ELSE '0' END, false) FROM pg_settings
WHERE name IN (
    'statement_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout',
    'quote_all_identifiers'
)
"""
"""Ends what the role's own settings would do to a migration: an index may take longer than a request may."""
SET_LOCK_TIMEOUT = f"SET lock_timeout = '{LOCK_TIMEOUT}s'"

_SESSION = """
SELECT pid, usename, nullif(application_name, ''), state,
    to_char(coalesce(xact_start, state_change) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
FROM pg_stat_activity
"""
LOCK_HOLDER = f"""
{_SESSION} WHERE pid IN (
    SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (classid::bigint << 32 | objid::bigint) = {_LOCK}
)
"""
"""The session that holds a migration's lock."""

BLOCKING_SESSIONS = f"""
{_SESSION} WHERE datname = current_database() AND pid <> pg_backend_pid()
AND coalesce(now() - xact_start > interval '{LOCK_TIMEOUT} s', state IS NULL)
ORDER BY pid IN (
    SELECT pid FROM pg_locks
    JOIN pg_class ON pg_class.oid = relation JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE granted AND starts_with(nspname, 'tasks_backend')
) DESC, xact_start NULLS LAST
LIMIT 1
"""
"""The transaction that probably made a statement of a migration wait until its lock timeout.

It is older than the timeout. One with a lock on a table of the service or a plugin comes first; without
such a lock, it can still block CREATE INDEX CONCURRENTLY, which waits for all older transactions. A login
without `pg_read_all_stats` does not see the states of others.
"""

FOREIGN_OWNER = """
SELECT pg_get_userbyid(owner), current_user FROM (
    SELECT nspowner FROM pg_namespace WHERE nspname = :schema
    UNION SELECT relowner FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = :schema
) AS owners (owner)
WHERE NOT pg_has_role(owner, 'USAGE') ORDER BY 1 LIMIT 1
"""
"""An owner of a schema or of a table in it whose rights the login does not have."""
