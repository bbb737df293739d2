"""Row-level security for a plugin's table, as on the service's own tables (decision 0006)."""

import re
from collections.abc import Sequence

from tasks_backend.db.rights_statements import (
    OWN_ROWS,
    RESTRICTIVE,
    is_job,
    make_record,
    only_jobs,
    record_job_rights,
    record_rights,
)
from tasks_backend.db.statements import SERVICE_ROLES
from tasks_backend.former_names import warn_of_former_name

_TABLE = re.compile(r"([a-z_][a-z0-9_]*)\.([a-z_][a-z0-9_]*)")
_PRIVILEGES = {"SELECT", "INSERT", "UPDATE", "DELETE"}
_OF_JOBS = {"SELECT", "UPDATE", "DELETE"}


def row_level_security(
    table: str, requests: Sequence[str] = (), *former: str, jobs: Sequence[str] = ()
) -> str:
    """Return the SQL that limits each user to the table's rows with their id in `user_id`.

    Run it in a migration, after creating the table (`schema.table`). The policy applies to the
    table's owner too. `requests` is what requests may do: SELECT, INSERT, UPDATE, DELETE. `jobs` is
    what the plugin's jobs may do beside that, on all users' rows: SELECT, UPDATE, DELETE.

    It also records them in the schema: if a dump loses the policies or the rights, `migrate` makes
    them again. A later revision may run it again, with other privileges. Raises ValueError for
    another privilege, for none at all, or for a name that is not `schema.table`.
    """
    if isinstance(requests, str):
        warn_of_former_name(", ".join([requests, *former]), "a list of privileges")
        requests = [requests]
    privileges = [*requests, *former]
    match = _TABLE.fullmatch(table)
    given = {*privileges, *jobs}
    if match is None or not given or not given <= _PRIVILEGES or not {*jobs} <= _OF_JOBS:
        raise ValueError(f"no schema.table, or no privileges: {table!r}, {privileges!r}, {jobs!r}")
    schema, name = match.groups()
    policies = [("own_rows", f"USING ({OWN_ROWS})")]
    if jobs:
        policies.append(("jobs", f"USING ({is_job(schema)})"))
    policies += [
        (
            f"{RESTRICTIVE}{privilege.lower()}",
            f"AS RESTRICTIVE FOR {privilege} USING ({only_jobs(schema)})",
        )
        for privilege in jobs
        if privilege not in privileges
    ]
    replaced = ["own_rows", "jobs", *(f"{RESTRICTIVE}{each.lower()}" for each in sorted(_OF_JOBS))]
    statements = [
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        *(f"DROP POLICY IF EXISTS {policy} ON {table}" for policy in replaced),
        *(f"CREATE POLICY {policy} ON {table} {rule}" for policy, rule in policies),
        make_record(schema),
        record_rights(schema, name, privileges),
        record_job_rights(schema, name, jobs),
        _grants(schema, table, sorted(given)),
    ]
    return ";\n".join(statements)


def _grants(schema: str, table: str, privileges: Sequence[str]) -> str:
    """Return the SQL that gives the role of requests these rights, and takes all others."""
    return f"""
    DO $$
    DECLARE
        app text;
    BEGIN
        FOR app IN SELECT quote_ident(rolname) FROM pg_roles WHERE rolname IN ({SERVICE_ROLES}) LOOP
            EXECUTE 'GRANT USAGE ON SCHEMA {schema} TO ' || app;
            EXECUTE 'REVOKE ALL ON {table} FROM ' || app;
            EXECUTE 'GRANT {", ".join(privileges)} ON {table} TO ' || app;
        END LOOP;
    END
    $$
    """  # noqa: S608 - names of ours
