"""Entries, and the trigger that writes them in the transaction of the change itself."""

from alembic import op

from tasks_backend import row_level_security

revision, down_revision = "0001", None

ENTRIES = """
CREATE TABLE tasks_backend_audit.entries (
    user_id text REFERENCES tasks_backend.users ON DELETE CASCADE,
    id uuid DEFAULT ( -- microseconds, then 64 random bits: in the order of time, not to be guessed
        lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000000)::bigint), 16, '0')
        || right(replace(gen_random_uuid()::text, '-', ''), 16))::uuid,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    action text NOT NULL, task_id uuid NOT NULL, version bigint NOT NULL,
    PRIMARY KEY (user_id, id))
"""
RECORD = """
CREATE FUNCTION tasks_backend_audit.record() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE task tasks_backend.tasks := coalesce(NEW, OLD);
BEGIN
    INSERT INTO tasks_backend_audit.entries (user_id, action, task_id, version)
    SELECT id, lower(TG_OP), task.id, task.version
    FROM tasks_backend.users WHERE id = task.user_id; -- whoever is being erased gets no entry
    RETURN NULL;
END $$;
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON tasks_backend.tasks
FOR EACH ROW EXECUTE FUNCTION tasks_backend_audit.record()
"""


def upgrade() -> None:
    op.execute(ENTRIES)
    op.execute(row_level_security("tasks_backend_audit.entries", ["SELECT"]))
    op.execute(RECORD)


def downgrade() -> None:
    op.execute("DROP FUNCTION tasks_backend_audit.record() CASCADE")  # its trigger too
    op.execute("DROP TABLE tasks_backend_audit.entries")
