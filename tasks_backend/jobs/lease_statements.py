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
"""Takes the lease for `lease` seconds: of a job that nobody holds, when its run is due; of a job that is
held, when the lease has ended, although the next run is due later: its process died in the run.

Returns `claimed`; `taken over`, from a process that did not give the lease back; `held` by another process
that has not finished yet; or `not due`. Then the seconds until it is worth asking again. `holder` is new for
each claim, so a repetition of a claim whose answer was lost succeeds again.
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
"""Gives the lease back, and returns in how many seconds the next run is due: at once if this one did
not finish. Returns no row if the lease had ended and another process has taken it.
"""
