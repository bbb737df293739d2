"""A plugin with an outbox: a trigger fills it with the change, a job writes its events into a file.

As a program, `python -m support.outbox URL DIRECTORY`, it runs the plugin's job until it is stopped.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

from sqlalchemy import text

from tasks_backend import Job, JobContext, Plugin, Settings, create_app, statement
from tasks_backend.db.database import Database
from tasks_backend.http.caller import Caller
from tasks_backend.jobs import runner

MIGRATION = """
from alembic import op

from tasks_backend import row_level_security

revision, down_revision = "0001", None


def upgrade():
    op.execute('''
        CREATE TABLE tasks_backend_outbox.events (
            user_id text NOT NULL REFERENCES tasks_backend.users ON DELETE CASCADE,
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title text NOT NULL
        );
        CREATE FUNCTION tasks_backend_outbox.record() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        BEGIN
            INSERT INTO tasks_backend_outbox.events (user_id, title) VALUES (NEW.user_id, NEW.title);
            RETURN NULL;
        END $$;
        CREATE TRIGGER outbox AFTER INSERT ON tasks_backend.tasks
        FOR EACH ROW EXECUTE FUNCTION tasks_backend_outbox.record()
    ''')
    op.execute(row_level_security("tasks_backend_outbox.events", jobs=["SELECT", "DELETE"]))
"""

PENDING = statement(
    text("SELECT id, user_id, title FROM tasks_backend_outbox.events ORDER BY id LIMIT 8"),
    idempotent=True,
)
DONE = statement(
    text("DELETE FROM tasks_backend_outbox.events WHERE id = :id RETURNING id"), idempotent=True
)
CREATE = statement(
    text("INSERT INTO tasks_backend.users (id) VALUES (:user_id) ON CONFLICT DO NOTHING"),
    text(
        "INSERT INTO tasks_backend.tasks (id, user_id, title) VALUES (gen_random_uuid(), :user_id, :title)"
    ),
    idempotent=False,
)


def outbox(
    directory: Path, run: Callable[[JobContext], Awaitable[None]], timeout: float = 60
) -> Plugin:
    """The plugin, whose migrations are written into the directory."""
    directory.mkdir(exist_ok=True)
    (directory / "0001_events.py").write_text(MIGRATION)
    deliver = Job(
        "deliver", every=timedelta(seconds=1), run=run, timeout=timedelta(seconds=timeout)
    )
    return Plugin("outbox", migrations=directory, jobs=[deliver])


async def idle(_: JobContext) -> None:
    """A job that does nothing."""


async def create(database: Database, user: str, title: str) -> None:
    """Create a task as a user."""
    await database.run(CREATE, Caller(user, asyncio.get_running_loop().time() + 30), title=title)


def deliver_to(directory: Path) -> Callable[[JobContext], Awaitable[None]]:
    """A job that writes each event into a file, and only then deletes it."""

    async def deliver(job: JobContext) -> None:
        with (directory / "delivered").open("a") as file:
            for number, _, title in await job.run(PENDING):
                file.write(f"{os.getpid()} begins {title}\n")
                file.flush()
                await asyncio.sleep(0.05)
                file.write(f"{os.getpid()} delivers {title}\n")
                file.flush()
                await job.run(DONE, id=number)

    return deliver


async def main(url: str, directory: Path) -> None:
    runner.MARGIN = 0.2  # seconds; the test need not wait for longer
    settings = Settings(_env_file=None, database_url=url, better_auth_url="http://localhost")
    app = create_app(settings, plugins=[outbox(directory, deliver_to(directory), timeout=1)])
    async with app.router.lifespan_context(app):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
