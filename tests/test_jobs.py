"""Jobs: once per deployment, on all rows of the plugin's own table or as one user, never in a request."""

import asyncio
import contextlib
import logging
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from psycopg2.extensions import parse_dsn
from sqlalchemy import text
from support.outbox import DONE, PENDING, create, idle, outbox
from support.programs import attempt
from support.waiting import soon

from tasks_backend import (
    Job,
    JobContext,
    Plugin,
    PluginError,
    PluginSettings,
    Settings,
    create_app,
    statement,
)
from tasks_backend.db import migrations
from tasks_backend.db.database import Database
from tasks_backend.db.pool import Pool
from tasks_backend.errors import DatabaseUnavailable
from tasks_backend.http.caller import Caller
from tasks_backend.jobs import runner
from tasks_backend.jobs.runner import ScheduledJob
from tasks_backend.testing.databases import NEON_OWNER, PLAIN_OWNER, SUPERUSER, Cluster
from tasks_backend.testing.service import problem, served
from tasks_backend.testing.signing import Signer
from tasks_backend.testing.waiting import until

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
        "The schema is at revision 0006.",
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


EVERY = timedelta(hours=1)
HELD = "UPDATE tasks_backend.jobs SET next_run_at = now() WHERE plugin = %s"
EXPIRED = "UPDATE tasks_backend.jobs SET held_until = now() WHERE plugin = %s"
LEASE = "SELECT holder IS NULL, next_run_at <= now() FROM tasks_backend.jobs WHERE plugin = %s"


class Lab:
    """One job, as it is in several processes on one database."""

    def __init__(self, settings: Settings, cluster: Cluster) -> None:
        self.plugin = Plugin(f"lab-{secrets.token_hex(4)}", jobs=[Job("job", EVERY, idle)])
        self.outcomes: list[tuple[str, str]] = []
        self._url = settings.database_url
        self._cluster = cluster
        self.databases: list[Database] = []

    def process(
        self, run: Callable[[JobContext], Awaitable[None]], timeout: float = 60
    ) -> ScheduledJob:
        pool = Pool(self._url, size=2, wait=5, connect_timeout=5)
        self.databases.append(Database(pool, statement_timeout=5))
        job = Job("job", EVERY, run, timeout=timedelta(seconds=timeout))
        return ScheduledJob(self.plugin, job, self.databases[-1], {})

    def observe(self, job: str, outcome: str, _: float) -> None:
        self.outcomes.append((job, outcome))

    def sql(self, command: str) -> list[tuple[object, ...]]:
        name = parse_dsn(self._url)["dbname"]
        with self._cluster.cursor(name) as cursor:
            cursor.execute(command, [self.plugin.schema])
            return list(cursor.fetchall()) if cursor.description else []

    def close(self) -> None:
        for database in self.databases:
            database.close()


@pytest.fixture
def lab(settings: Settings, cluster: Cluster) -> Iterator[Lab]:
    lab = Lab(settings, cluster)
    yield lab
    lab.close()


async def fail(_: JobContext) -> None:
    raise RuntimeError("no mail today")


async def cancel_itself(_: JobContext) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def await_a_cancelled_task(_: JobContext) -> None:
    task = asyncio.create_task(asyncio.sleep(1))
    task.cancel()
    await task


async def raise_a_group(_: JobContext) -> None:
    raise BaseExceptionGroup("several", [asyncio.CancelledError(), ValueError()])


async def suppress_the_limit(_: JobContext) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


async def hang(_: JobContext) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("run", "timeout", "slow", "outcome", "message"),
    [
        (idle, 60, 0.5, "ok", None),
        (idle, 60, 0, "ok", "took 0 s: it is cancelled after 60 s"),
        (fail, 60, 0.5, "failed", "failed"),
        (cancel_itself, 60, 0.5, "failed", "failed"),
        (await_a_cancelled_task, 60, 0.5, "failed", "failed"),
        (raise_a_group, 60, 0.5, "failed", "failed"),
        (hang, 1, 0.5, "timed_out", "was cancelled after 1 s, its time limit"),
        (suppress_the_limit, 1, 0.5, "timed_out", "was cancelled after 1 s, its time limit"),
    ],
)
def test_a_run_is_counted_and_logged_and_the_next_one_is_after_the_interval(
    lab: Lab,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    *,
    run: Callable[[JobContext], Awaitable[None]],
    timeout: float,
    slow: float,
    outcome: str,
    message: str | None,
) -> None:
    monkeypatch.setattr(runner, "SLOW", slow)

    async def work() -> list[float]:
        job = lab.process(run, timeout)
        (database,) = lab.databases
        before = vars(database.readiness).copy()
        waits = [await job.run_if_due(lab.observe), await job.run_if_due(lab.observe)]
        assert vars(database.readiness) == before  # a job is no use of the service (decision 0010)
        return waits

    waits = asyncio.run(work())
    assert all(3000 < wait <= 3600 for wait in waits)
    name = f"{lab.plugin.name}.job"
    assert lab.outcomes == [(name, outcome)]
    assert [record.getMessage() for record in caplog.records] == (
        [f"the job {name} {message}"] if message else []
    )
    if run is fail:
        assert "RuntimeError: no mail today" in caplog.text
    assert lab.sql(LEASE) == [(True, False)]


def test_a_lease_has_one_holder_and_ends_by_itself(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tasks_backend.jobs")
    runs: list[str] = []
    ended = asyncio.Event()

    async def first(_: JobContext) -> None:
        runs.append("first")
        await ended.wait()

    async def second(_: JobContext) -> None:
        runs.append("second")

    async def work() -> None:
        one, two = lab.process(first), lab.process(second)
        running = asyncio.create_task(one.run_if_due(lab.observe))
        await soon(lambda: runs == ["first"])
        assert 0 < await two.run_if_due(lab.observe) <= 65  # the lease, not the interval
        lab.sql(HELD)
        assert 0 < await two.run_if_due(lab.observe) <= 65
        assert runs == ["first"]
        lab.sql(EXPIRED)
        await two.run_if_due(lab.observe)
        assert runs == ["first", "second"]
        ended.set()
        assert await running == 0

    asyncio.run(work())
    name = f"the job {lab.plugin.name}.job"
    assert [record.getMessage() for record in caplog.records] == [
        f"{name} still runs in another process",
        f"the lease of {name} was not given back: it runs again",
        f"{name} outlasted its lease: another process may run it too",
    ]


@pytest.mark.proves("FR-021")
def test_a_job_whose_process_is_killed_runs_again_after_its_lease_not_after_its_interval(
    lab: Lab,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "MAX_JITTER", 0)
    command = [sys.executable, "-m", "support.dying_job", settings.database_url, lab.plugin.name]
    killed = attempt(*command, directory=Path(__file__).parent)
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    async def work() -> None:
        running = asyncio.create_task(lab.process(idle).run_forever(lab.observe))
        await soon(lambda: lab.outcomes != [])
        running.cancel()

    asyncio.run(work())
    name = f"{lab.plugin.name}.job"
    assert lab.outcomes == [(name, "ok")]
    assert f"the lease of the job {name} was not given back: it runs again" in caplog.text


def test_a_stop_cancels_a_run_and_another_process_repeats_it(
    lab: Lab, settings: Settings, cluster: Cluster
) -> None:
    cancelled: list[str] = []

    class Mail(PluginSettings):
        host: str = "localhost"

    async def wait(job: JobContext) -> None:
        try:
            cancelled.append(job.settings(Mail).host)
            await asyncio.Event().wait()
        finally:
            cancelled.append("cancelled")

    plugin = Plugin(lab.plugin.name, jobs=[Job("job", EVERY, wait)], settings=Mail)

    async def work() -> None:
        app = create_app(settings, plugins=[plugin])
        async with app.router.lifespan_context(app):
            await soon(lambda: cancelled == ["localhost"])
        assert cancelled == ["localhost", "cancelled"]
        assert lab.sql(LEASE) == [(True, True)]
        off = settings.model_copy(update={"jobs_enabled": False})
        app = create_app(off, plugins=[plugin])
        async with app.router.lifespan_context(app):
            assert app.state.jobs is None
        await lab.process(idle).run_if_due(lab.observe)

    asyncio.run(work())
    assert lab.outcomes == [(f"{lab.plugin.name}.job", "ok")]


def test_an_unexpected_error_of_the_service_does_not_end_a_job(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    def raising(*_: object) -> None:
        raise RuntimeError("no metrics today")

    async def work() -> None:
        running = asyncio.create_task(lab.process(idle).run_forever(raising))
        await soon(lambda: "cannot be claimed or given back" in caplog.text)
        assert not running.done()
        running.cancel()

    asyncio.run(work())


def test_a_job_that_suppresses_its_cancellation_is_named(
    lab: Lab,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "STOP_TIMEOUT", 0.05)
    reached: list[str] = []
    end = asyncio.Event()

    async def stubborn(_: JobContext) -> None:
        reached.append("run")
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await end.wait()

    plugin = Plugin(lab.plugin.name, jobs=[Job("job", EVERY, stubborn)])

    async def work() -> None:
        app = create_app(settings, plugins=[plugin])
        async with app.router.lifespan_context(app):
            await soon(lambda: reached == ["run"])
        end.set()

    asyncio.run(work())
    assert "1 jobs do not stop, although they are cancelled" in caplog.text


@pytest.mark.parametrize(
    "user_id",
    ["", " ", " alice", "\x01tasks_backend_outbox", "a\nb", "a\x7f", "\ud800", "a" * 256, "\u200b"],
)
def test_a_job_cannot_act_as_a_user_whose_id_no_token_has(lab: Lab, user_id: str) -> None:
    lab.process(idle)
    job = JobContext(lab.databases[0], lab.plugin, 0, {})
    with pytest.raises(ValueError, match="no user's id"):
        job.as_user(user_id)


def test_jobs_wait_for_the_schema_and_are_counted_by_the_metrics(
    cluster: Cluster, settings: Settings, signer: Signer
) -> None:
    _, url = cluster.database(cluster.login(NEON_OWNER))
    plugin = Plugin("mail", jobs=[Job("send", timedelta(seconds=1), idle)])
    changed = {"database_url": url, "plugins": ("metrics",)}
    app = create_app(settings.model_copy(update=changed), plugins=[plugin])
    line = 'tasks_backend_job_duration_seconds_count{name="mail.send",outcome="ok"}'
    with served(app) as base, httpx2.Client(base_url=base, timeout=30) as client:
        until(lambda: client.get("/readyz").status_code == 503)
        assert line not in client.get("/metrics").text
        migrations.upgrade(url)
        until(lambda: line in client.get("/metrics").text)
        client.headers["Authorization"] = f"Bearer {signer.token(chr(1) + plugin.schema)}"
        problem(client.get("/api/v1/tasks"), 401, "invalid_token")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Job("Send", EVERY, idle), "job 'Send': a name is lower-case"),
        (lambda: Job("send", timedelta(seconds=0.5), idle), "job 'send': `every` and `timeout`"),
        (lambda: Job("send", EVERY, idle, timeout=timedelta()), "job 'send': `every` and"),
        (lambda: Job("send", EVERY, print), "job 'send': its `run` is no asynchronous function"),  # type: ignore[arg-type] # a mistake
        (lambda: Plugin("mail", jobs=[Job("a", EVERY, idle)] * 2), "two of its jobs are named 'a'"),
    ],
)
def test_a_wrong_declaration_is_refused(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(PluginError, match=sentence):
        make()
