"""Jobs: once per deployment, on all rows of the plugin's own table or as one user, never in a request."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from support.outbox import DONE, PENDING, create, outbox
from support.waiting import soon

from tasks_backend import JobContext, Settings, create_app, statement
from tasks_backend.db import migrations
from tasks_backend.db.database import Database
from tasks_backend.errors import DatabaseUnavailable
from tasks_backend.http.caller import Caller
from tasks_backend.testing.databases import NEON_OWNER, PLAIN_OWNER, SUPERUSER, Cluster

TITLES = statement(text("SELECT title FROM tasks_backend.tasks"), idempotent=True)
LEASES = statement(text("SELECT plugin FROM tasks_backend.jobs"), idempotent=True)
UPDATE = statement(text("UPDATE tasks_backend_outbox.events SET title = 'x'"), idempotent=True)


@contextlib.asynccontextmanager
async def started(
    settings: Settings, url: str, directory: Path, run: Callable[[JobContext], Awaitable[None]]
) -> AsyncIterator[Database]:
    """Run an application with the outbox."""
    settings = settings.model_copy(update={"database_url": url})
    app = create_app(settings, plugins=[outbox(directory, run)])
    async with app.router.lifespan_context(app):
        database: Database = app.state.database
        yield database


async def idle(_: JobContext) -> None:
    """A job that does nothing."""


@pytest.mark.parametrize("login", ["neon", "plain", "superuser", "least privileged"])
def test_a_job_works_on_all_users_rows_and_a_request_does_not(
    cluster: Cluster, settings: Settings, tmp_path: Path, login: str
) -> None:
    attributes = {"plain": PLAIN_OWNER, "superuser": SUPERUSER}.get(login, NEON_OWNER)
    name, owner = cluster.database(cluster.login(attributes))
    url = owner
    plugin = outbox(tmp_path, idle)
    migrations.upgrade(owner, [plugin])
    assert migrations.upgrade(owner, [plugin]) == [
        "The schema is at revision 0005.",
        "That of outbox is at revision 0001.",
    ]
    if login == "least privileged":
        service = cluster.login("NOINHERIT")
        with cluster.cursor(name) as cursor:
            cursor.execute(f"GRANT tasks_app TO {service}")
        url = cluster.url_of(name, service)
    with cluster.cursor(name) as cursor:  # as a dump without policies and rights leaves it
        cursor.execute("DROP POLICY jobs ON tasks_backend_outbox.events")
        cursor.execute("DROP POLICY only_jobs_delete ON tasks_backend_outbox.events")
        cursor.execute("DROP POLICY own_rows ON tasks_backend.jobs")
        for role in ("tasks_app", "PUBLIC"):
            cursor.execute(
                f"REVOKE ALL ON tasks_backend_outbox.events, tasks_backend.jobs FROM {role}"
            )
    assert "restored" in str(migrations.upgrade(owner, [plugin]))

    seen: list[object] = []

    async def deliver(job: JobContext) -> None:
        events = await job.run(PENDING)
        if len(events) < 2 or seen:
            return
        seen.extend([await job.as_user(user).run(TITLES) for user in ("alice", "bob")])
        seen.append(await job.run(TITLES))
        seen.extend(user for _, user, _ in events)
        seen.extend([await job.run(DONE, id=number) for number, _, _ in events])
        with pytest.raises(ValueError, match="no user's id"):
            job.as_user("\x01tasks_backend_outbox")

    async def work() -> None:
        async with started(settings, url, tmp_path, deliver) as database:
            await create(database, "alice", "of Alice")
            in_request = Caller("alice", asyncio.get_running_loop().time() + 30)
            assert await database.run(LEASES, in_request) == []
            if login != "plain":  # the owner of a table has every right on their own rows
                assert await database.run(PENDING, in_request) == []
                assert await database.run(DONE, in_request, id=1) == []
                with pytest.raises(DatabaseUnavailable):
                    await database.run(UPDATE, in_request)
            await create(database, "bob", "of Bob")
            await soon(lambda: len(seen) == 7)

    asyncio.run(work())
    assert seen[:5] == [[("of Alice",)], [("of Bob",)], [], "alice", "bob"]
    assert all(seen[5:])
