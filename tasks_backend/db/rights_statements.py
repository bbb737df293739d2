"""What requests need in the database: the role, its rights, and the policies that restrict it.

Dumps lose roles, often owners and grants too. So these belong to no revision: `migrate` runs
`missing_rights` each time, which returns the statements that make or mend them (decision 0006).
"""

# ruff: noqa: S608 - names of ours

from collections.abc import Iterable

from tasks_backend.db.statements import (
    APP_ROLE,
    AS_ROLE,
    JOB_MARK,
    MAY_SET_ROLE,
    SCHEMA,
    SERVICE_ROLES,
    STATEMENT_TIMEOUT,
    USER_SETTING,
)

TABLES = {"users": "id", "tasks": "user_id", "idempotency_keys": "user_id"}
"""The tables with users' rows, and the column that has the owner's id."""

_REQUEST_RIGHTS = """
    ('users', 'SELECT'), ('users', 'INSERT'),
    ('tasks', 'SELECT'), ('tasks', 'INSERT'), ('tasks', 'DELETE'),
    ('idempotency_keys', 'SELECT'), ('idempotency_keys', 'INSERT'), ('idempotency_keys', 'DELETE')
"""
# `purge-user` deletes users; jobs are claimed in the role of requests.
_OTHER_RIGHTS = """
    ('alembic_version', 'SELECT'), ('users', 'DELETE'),
    ('jobs', 'SELECT'), ('jobs', 'INSERT'), ('jobs', 'UPDATE')
"""
_COLUMN_RIGHTS = """
    ('tasks', 'title, description, completed, version, updated_at'),
    ('idempotency_keys', 'fingerprint, attempt, task_id, title, description, description_in_task,'
        ' completed, version, created_at, updated_at, count, response, expires_at')
"""
_FUNCTIONS = "('task_is_foreign(uuid)'), ('delete_expired_keys()')"

READY = f"""
{AS_ROLE}, set_config('{USER_SETTING}', '', true)
    , set_config('statement_timeout', %({STATEMENT_TIMEOUT})s, true)
    , set_config('enable_seqscan', 'off', true);
SELECT version_num, array_to_string(ARRAY(
    SELECT 'row-level security on ' || name FROM (VALUES ('users'), ('tasks'), ('idempotency_keys'))
    AS tables (name), LATERAL to_regclass('{SCHEMA}.' || name) AS found
    WHERE NOT row_security_active(found)
    OR NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = found AND polname = 'own_rows')
    UNION ALL
    SELECT 'policies: rows of tasks are seen by no user' WHERE EXISTS (SELECT FROM {SCHEMA}.tasks)
    UNION ALL
    SELECT privilege || ' on ' || name FROM (VALUES {_REQUEST_RIGHTS}) AS needed (name, privilege)
    WHERE NOT has_table_privilege('{SCHEMA}.' || name, privilege)
    UNION ALL
    SELECT 'UPDATE of ' || name || '.' || part
    FROM (VALUES {_COLUMN_RIGHTS}) AS needed (name, parts), unnest(string_to_array(parts, ', ')) AS part
    WHERE NOT has_column_privilege('{SCHEMA}.' || name, part, 'UPDATE')
    UNION ALL
    SELECT 'EXECUTE of ' || name FROM (VALUES {_FUNCTIONS}) AS needed (name)
    WHERE NOT has_function_privilege('{SCHEMA}.' || name, 'EXECUTE')
), '; ')
FROM {SCHEMA}.alembic_version
"""
"""Checks what a caller's message needs: the role, a read in it, its rights, and active policies.

Returns the schema's revision and a list of what is missing, empty if a caller's message works. It
runs with an empty user id, which no user has, so it must see no rows.
"""

MISSING_ROLE = f"""
SELECT login.rolname FROM pg_roles AS login
WHERE login.rolname = current_user AND (rolsuper OR rolcreaterole OR rolbypassrls)
AND NOT EXISTS (
    SELECT FROM pg_roles AS app WHERE app.rolname IN ({SERVICE_ROLES})
    AND NOT app.rolsuper AND NOT app.rolbypassrls AND pg_has_role(app.oid, {MAY_SET_ROLE})
)
"""
"""Returns a row if the login needs a role of the service, or may create it, and has none."""

MAKE_ROLE = f"""
DO $$
DECLARE
    login pg_roles := (SELECT r FROM pg_roles AS r WHERE r.rolname = current_user);
    candidate text;
BEGIN
    FOR candidate IN SELECT name FROM (VALUES ({SERVICE_ROLES})) AS two (first, second),
        unnest(ARRAY[first, second]) AS name
    LOOP
        IF to_regrole(candidate) IS NULL AND (login.rolsuper OR login.rolcreaterole) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', candidate);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;
            END;
        END IF;
        CONTINUE WHEN EXISTS (
            SELECT FROM pg_roles WHERE rolname = candidate AND (rolsuper OR rolbypassrls)
        );
        EXIT WHEN login.rolsuper;
        BEGIN
            EXECUTE format('GRANT %I TO CURRENT_USER', candidate);
        EXCEPTION WHEN insufficient_privilege OR undefined_object THEN
            NULL;
        END;
        EXIT WHEN pg_has_role(to_regrole(candidate)::oid, {MAY_SET_ROLE});
    END LOOP;
    IF login.rolbypassrls AND NOT login.rolsuper
        AND pg_has_role(to_regrole(candidate)::oid, {MAY_SET_ROLE}) IS NOT TRUE THEN
        RAISE EXCEPTION 'this login sees past row-level security; have an administrator run:'
            ' CREATE ROLE {APP_ROLE} NOLOGIN; GRANT {APP_ROLE} TO %', quote_ident(current_user);
    END IF;
END
$$
"""
"""Creates the role and grants it to the login.

Roles belong to the cluster: another database's migration may create the same role at the same time.
If another login owns the role and does not share it, this database gets a role with its number.
"""

_CALLER = f"current_setting('{USER_SETTING}', true)"
OWN_ROWS = f"user_id = {_CALLER}"
"""The policy of users' rows."""


def is_job(schema: str) -> str:
    """Return the condition for the messages of a plugin's jobs, given its schema (decision 0023)."""
    return f"{_CALLER} = chr({ord(JOB_MARK)}) || '{schema}'"


def only_jobs(schema: str) -> str:
    """Return the condition of a policy for a right that jobs have and requests do not.

    Both use the same role, so the right alone does not keep requests out. The tables' owner passes,
    because a trigger may run as the owner.
    """
    return f"{is_job(schema)} OR CURRENT_USER !~ '^{APP_ROLE}'"


# The last two let the functions of revisions 0001 and 0003, which run as the tables' owner, see other
# users' rows. Only these functions set the settings.
_POLICIES = (
    *((table, "own_rows", "ALL", f"{owner} = {_CALLER}", "") for table, owner in TABLES.items()),
    ("jobs", "own_rows", "ALL", f"chr({ord(JOB_MARK)}) || plugin = {_CALLER}", ""),
    (
        "tasks",
        "owner_check",
        "SELECT",
        f"current_setting('{SCHEMA}.owner_check', true) = 'on'",
        "task_is_foreign",
    ),
    (
        "idempotency_keys",
        "expired_keys",
        "ALL",
        f"expires_at <= now() AND current_setting('{SCHEMA}.delete_expired', true) = 'on'",
        "delete_expired_keys",
    ),
)
_SERVICE = {
    "policies": "VALUES "
    + ", ".join(
        f"('{table}', '{name}', '{command}', $${condition}$$, '{function}')"
        for table, name, command, condition, function in _POLICIES
    ),
    "rights": f"VALUES {_REQUEST_RIGHTS}, {_OTHER_RIGHTS}",
    "column_rights": f"VALUES {_COLUMN_RIGHTS}",
}

RECORD = "request_rights"
"""The table, in each plugin's schema, with what requests may do; `row_level_security` writes it."""
JOBS_RECORD = "job "
"""Begins the name of a table's second row in RECORD: what jobs may do. Older releases ignore it."""
RESTRICTIVE = "only_jobs_"
"""Begins the name of a policy that keeps requests from what only jobs may do."""


def _plugin(schema: str) -> dict[str, str]:
    record = f"{schema}.{RECORD}"
    table = f"substr(jobs.name, {len(JOBS_RECORD) + 1})"
    return {
        "policies": f"""
            SELECT name, 'own_rows', 'ALL', $${OWN_ROWS}$$, '' FROM {record}
            UNION ALL SELECT {table}, 'jobs', 'ALL', $${is_job(schema)}$$, ''
            FROM {record} AS jobs WHERE starts_with(name, '{JOBS_RECORD}')
            UNION ALL SELECT {table}, '{RESTRICTIVE}' || lower(privilege), privilege, $${only_jobs(schema)}$$, ''
            FROM {record} AS jobs, unnest(jobs.privileges) AS privilege, {record} AS requests
            WHERE jobs.name = '{JOBS_RECORD}' || requests.name AND privilege <> ALL (requests.privileges)""",
        "rights": f"""SELECT name, unnest(privileges) FROM {record}
            UNION SELECT {table}, unnest(privileges)
            FROM {record} AS jobs WHERE starts_with(name, '{JOBS_RECORD}')
            UNION ALL VALUES ('alembic_version', 'SELECT'), ('{RECORD}', 'SELECT')""",
        "column_rights": "SELECT '', '' WHERE false",
    }


# PostgreSQL adds casts and parentheses to an expression that it stores.
_SIMPLIFIED = r"""regexp_replace({}, '::(text|character varying(\(\d+\))?)|[()]', '', 'g')"""


def missing_rights(schema: str) -> str:
    """Return the query for the statements that make or mend rights and policies of this schema.

    It changes nothing and needs no rights of the service's tables. It returns no row if nothing is
    missing. Objects that a schema does not have yet, or not any more, are left out.
    """
    part = _SERVICE if schema == SCHEMA else _plugin(schema)
    return f"""
WITH app AS (
    SELECT oid, quote_ident(rolname) AS app_name FROM pg_roles
    WHERE rolname IN ({SERVICE_ROLES}) AND NOT rolsuper AND NOT rolbypassrls
), own_schema AS (
    SELECT oid FROM pg_namespace WHERE nspname = '{schema}'
), found AS (
    SELECT pg_class.oid AS found_oid, relname, relowner, relrowsecurity AND relforcerowsecurity AS is_forced,
        '{schema}.' || quote_ident(relname) AS name
    FROM pg_class JOIN own_schema ON own_schema.oid = relnamespace WHERE relkind IN ('r', 'p')
), function AS (
    SELECT pg_proc.oid AS function_oid, proname, proowner,
        '{schema}.' || proname || '(' || pg_get_function_identity_arguments(pg_proc.oid) || ')' AS signature,
        (SELECT relowner FROM found WHERE relname = 'tasks') AS tasks_owner
    FROM pg_proc JOIN own_schema ON own_schema.oid = pronamespace
    WHERE proname IN (SELECT function FROM ({part["policies"]}) AS policies (relname, polname, command, condition, function))
), policy AS (
    SELECT name, polname, command, condition, function, CASE function WHEN '' THEN 0 ELSE relowner END AS bound,
        (
            SELECT polroles = ARRAY[CASE function WHEN '' THEN 0 ELSE relowner END]
                AND polpermissive <> starts_with(policies.polname, '{RESTRICTIVE}')
                AND polcmd = CASE command
                    WHEN 'ALL' THEN '*' WHEN 'UPDATE' THEN 'w' WHEN 'DELETE' THEN 'd' ELSE 'r' END
                AND polwithcheck IS NULL
                AND {_SIMPLIFIED.format("pg_get_expr(polqual, polrelid)")} = {_SIMPLIFIED.format("condition")}
            FROM pg_policy WHERE polrelid = found_oid AND pg_policy.polname = policies.polname
        ) AS is_right
    FROM ({part["policies"]}) AS policies (relname, polname, command, condition, function)
    JOIN found USING (relname) WHERE function = '' OR function IN (SELECT proname FROM function)
)
SELECT statement FROM (
    SELECT 1, 'ALTER FUNCTION ' || signature || ' OWNER TO ' || quote_ident(pg_get_userbyid(tasks_owner))
    FROM function WHERE proowner <> tasks_owner
    UNION ALL
    SELECT 2, 'REVOKE EXECUTE ON FUNCTION ' || signature || ' FROM PUBLIC'
    FROM function WHERE has_function_privilege('public', function_oid, 'EXECUTE')
    UNION ALL
    SELECT DISTINCT 3, 'ALTER TABLE ' || name || ' ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY'
    FROM found JOIN policy USING (name) WHERE NOT is_forced
    UNION ALL
    SELECT 4, 'DROP POLICY ' || polname || ' ON ' || name FROM policy WHERE NOT is_right
    UNION ALL
    SELECT 5, 'CREATE POLICY ' || polname || ' ON ' || name
        || CASE WHEN starts_with(polname, '{RESTRICTIVE}') THEN ' AS RESTRICTIVE' ELSE '' END || ' FOR ' || command
        || CASE bound WHEN 0 THEN '' ELSE ' TO ' || quote_ident(pg_get_userbyid(bound)) END
        || ' USING (' || condition || ')'
    FROM policy WHERE is_right IS NOT TRUE
    UNION ALL
    SELECT 6, 'GRANT USAGE ON SCHEMA {schema} TO ' || app_name
    FROM app, own_schema WHERE NOT has_schema_privilege(app.oid, own_schema.oid, 'USAGE')
    UNION ALL
    SELECT 7, 'GRANT ' || privilege || ' ON ' || name || ' TO ' || app_name
    FROM ({part["rights"]}) AS needed (relname, privilege) JOIN found USING (relname), app
    WHERE NOT has_table_privilege(app.oid, found_oid, privilege)
    UNION ALL
    SELECT 8, 'GRANT UPDATE (' || string_agg(quote_ident(attname), ', ' ORDER BY attnum) || ') ON ' || name
        || ' TO ' || app_name
    FROM ({part["column_rights"]}) AS needed (relname, columns) JOIN found USING (relname)
    JOIN pg_attribute ON attrelid = found_oid AND attname = ANY (string_to_array(columns, ', ')), app
    WHERE NOT attisdropped AND NOT has_column_privilege(app.oid, found_oid, attnum, 'UPDATE')
    GROUP BY name, app_name
    UNION ALL
    SELECT 9, 'GRANT EXECUTE ON FUNCTION ' || signature || ' TO ' || app_name
    FROM function, app WHERE NOT has_function_privilege(app.oid, function_oid, 'EXECUTE')
        OR has_function_privilege('public', function_oid, 'EXECUTE') -- until step 2
) AS parts (step, statement) ORDER BY step, statement
"""


def make_record(schema: str) -> str:
    """Return the SQL that makes RECORD in a plugin's schema."""
    return (
        f"CREATE TABLE IF NOT EXISTS {schema}.{RECORD}"
        " (name text PRIMARY KEY, privileges text[] NOT NULL)"
    )


def record_rights(schema: str, table: str, privileges: Iterable[str]) -> str:
    """Return the SQL that records what requests may do with a plugin's table."""
    return (
        f"INSERT INTO {schema}.{RECORD} VALUES ('{table}', '{{{', '.join(privileges)}}}')"
        " ON CONFLICT (name) DO UPDATE SET privileges = excluded.privileges"
    )


def record_job_rights(schema: str, table: str, privileges: Iterable[str]) -> str:
    """Return the SQL that records what jobs, beside requests, may do with a plugin's table."""
    name = f"{JOBS_RECORD}{table}"
    if not privileges:
        return f"DELETE FROM {schema}.{RECORD} WHERE name = '{name}'"
    return record_rights(schema, name, privileges)


def unrecorded_rights(schema: str) -> str:
    """Return the query for a plugin's tables and what requests may do with them.

    For a schema without RECORD: releases before 0.3 did not make it.
    """
    return f"""
    SELECT relname, ARRAY(
        SELECT privilege FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege
        WHERE EXISTS (
            SELECT FROM pg_roles WHERE rolname IN ({SERVICE_ROLES})
            AND has_table_privilege(pg_roles.oid, pg_class.oid, privilege)
        )
    )
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = '{schema}'
    AND EXISTS (SELECT FROM pg_policy WHERE polrelid = pg_class.oid AND polname = 'own_rows')
    """
