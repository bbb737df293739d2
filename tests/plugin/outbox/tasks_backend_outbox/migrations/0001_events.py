"""Events, and the trigger that writes them in the transaction of the change."""

from alembic import op

from tasks_backend import row_level_security

revision, down_revision = "0001", None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE tasks_backend_outbox.events (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            user_id text NOT NULL REFERENCES tasks_backend.users ON DELETE CASCADE,
            event jsonb NOT NULL,
            attempts int NOT NULL DEFAULT 0,
            due_at timestamptz NOT NULL DEFAULT now()
        )
    """)
    op.execute(
        row_level_security("tasks_backend_outbox.events", jobs=["SELECT", "UPDATE", "DELETE"])
    )
    op.execute("""
        CREATE FUNCTION tasks_backend_outbox.record() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        DECLARE task tasks_backend.tasks := coalesce(NEW, OLD);
        BEGIN
            INSERT INTO tasks_backend_outbox.events (user_id, event)
            SELECT id, jsonb_build_object('action', lower(TG_OP), 'id', task.id,
                'title', task.title, 'completed', task.completed)
            FROM tasks_backend.users WHERE id = task.user_id; -- no event of a user who is erased
            RETURN NULL;
        END $$;
        CREATE TRIGGER outbox AFTER INSERT OR UPDATE OR DELETE ON tasks_backend.tasks
        FOR EACH ROW EXECUTE FUNCTION tasks_backend_outbox.record()
    """)


def downgrade() -> None:
    op.execute("DROP FUNCTION tasks_backend_outbox.record() CASCADE")  # its trigger too
    op.execute("DROP TABLE tasks_backend_outbox.events")
