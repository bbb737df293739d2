"""The SQL of leases: who runs a job now, and when it runs next, by the database's clock.

A lease is a row with a time, not a session's lock: it works through a pooler that changes the session
with each transaction, and it ends by itself if its holder dies (decision 0023).
"""

from sqlalchemy import text

from tasks_backend.db.statements import SCHEMA, statement

# ruff: noqa: S608 - names of ours

CLAIM = statement(
    text(f"""
    WITH claim AS (
        INSERT INTO {SCHEMA}.jobs AS job (plugin, name, holder, held_until, next_run_at)
        VALUES (
            :plugin, :name, :holder, now() + :lease * interval '1 s', now() + :every * interval '1 s'
        )
        ON CONFLICT (plugin, name) DO UPDATE SET holder = excluded.holder,
            held_until = excluded.held_until, next_run_at = excluded.next_run_at
        WHERE job.holder = excluded.holder
            OR coalesce(job.held_until, job.next_run_at) <= now()
        RETURNING true
    )
    SELECT CASE
        WHEN EXISTS (SELECT FROM claim) AND before.holder <> :holder THEN 'taken over'
        WHEN EXISTS (SELECT FROM claim) THEN 'claimed'
        WHEN before.next_run_at <= now() AND before.held_until > now() THEN 'held'
        ELSE 'not due'
    END, coalesce(extract(epoch FROM CASE
        WHEN before.next_run_at <= now() THEN before.held_until
        ELSE least(before.held_until, before.next_run_at)
    END - now()), 0)::float
    FROM (VALUES (1)) AS one LEFT JOIN {SCHEMA}.jobs AS before ON plugin = :plugin AND name = :name
    """),
    idempotent=True,
)
"""Takes the lease for `lease` seconds. Without a lease, a job can be claimed when its run is due. With one,
it can be claimed when the lease has ended, even if the next run is due later: the process that held the
lease did not finish its run.

The first column of the result is:

- `claimed`: this process may run the job;
- `taken over`: so too, and the last process did not give the lease back;
- `held`: the run is due, but another process has not finished the last one;
- `not due`.

The second column is the number of seconds until the next attempt is useful. `holder` is new for each claim,
so a claim whose answer was lost can be repeated.
"""

RELEASE = statement(
    text(f"""
    UPDATE {SCHEMA}.jobs SET holder = NULL, held_until = NULL,
        next_run_at = CASE WHEN :finished THEN next_run_at ELSE now() END
    WHERE plugin = :plugin AND name = :name AND holder = :holder
    RETURNING extract(epoch FROM next_run_at - now())::float
    """),
    idempotent=False,
)
"""Gives the lease back and returns the seconds until the next run, which is due at once if this one did
not finish. Returns no row if another process has taken the lease after its end.
"""
