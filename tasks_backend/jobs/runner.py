"""Runs plugins' jobs: claims each, runs it within its time limit, gives it back."""

import asyncio
import contextlib
import logging
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tasks_backend.db.connection import Row
from tasks_backend.db.database import Database
from tasks_backend.db.failures import DatabaseFailure
from tasks_backend.db.statements import Statement
from tasks_backend.errors import ApiError
from tasks_backend.jobs.context import JobContext, caller_of
from tasks_backend.jobs.lease_statements import CLAIM, RELEASE
from tasks_backend.plugin import Job, Plugin
from tasks_backend.settings.of_plugin import PluginSettings

MARGIN = 5.0  # seconds that a lease lasts beyond the run's time limit
STATEMENT_TIME = 5.0  # seconds to claim a job, or to give it back
STOP_TIMEOUT = 8.0  # seconds that cancelled jobs may take to end
RETRY = 30.0  # seconds until the next attempt, if the database is not ready; less for frequent jobs
JITTER = 0.1  # of the interval, so that the processes do not all ask at the same moment
MAX_JITTER = 5.0  # seconds; a sleeping database stays awake until the last process has asked
SLOW = 0.5  # of the time limit: a longer run is logged

logger = logging.getLogger("tasks_backend.jobs")

Observer = Callable[[str, str, float], None]
"""Is told of each run: the job, its outcome (`ok`, `failed` or `timed_out`), and its seconds."""


class JobRunner:
    """The jobs of an application's plugins. Entering `running()` starts them, leaving it stops them."""

    def __init__(
        self,
        plugins: Sequence[Plugin],
        database: Database,
        settings: Mapping[type[PluginSettings], PluginSettings],
    ) -> None:
        self.observers: list[Observer] = []
        self.jobs = [
            ScheduledJob(plugin, job, database, settings)
            for plugin in plugins
            for job in plugin.jobs
        ]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the jobs until the block ends. Then cancel them, and wait until they have ended."""
        tasks = [asyncio.create_task(job.run_forever(self._observe)) for job in self.jobs]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                _, unfinished = await asyncio.wait(tasks, timeout=STOP_TIMEOUT)
                if unfinished:
                    logger.error(
                        "%d jobs do not stop, although they are cancelled", len(unfinished)
                    )

    def _observe(self, job: str, outcome: str, duration: float) -> None:
        for observer in self.observers:
            observer(job, outcome, duration)


class ScheduledJob:
    """One job in this process."""

    def __init__(
        self,
        plugin: Plugin,
        job: Job,
        database: Database,
        settings: Mapping[type[PluginSettings], PluginSettings],
    ) -> None:
        self.name = f"{plugin.name}.{job.name}"
        self._plugin = plugin
        self._job = job
        self._database = database
        self._settings = settings
        self._every = job.every.total_seconds()
        self._timeout = job.timeout.total_seconds()

    async def run_forever(self, observe: Observer) -> None:
        """Run the job whenever it is due and no other process runs it. Failures are logged."""
        is_ready = False
        while True:
            try:
                if not is_ready:
                    await self._database.readiness.check(timeout=STATEMENT_TIME)
                wait = await self.run_if_due(observe)
                is_ready = True
            except ApiError:  # the log of the database says why
                is_ready = False
                wait = min(self._every, RETRY)
            except Exception:
                logger.exception("the job %s cannot be claimed or given back", self.name)
                wait = min(self._every, RETRY)
            jitter = min(JITTER * self._every, MAX_JITTER)
            await asyncio.sleep(max(wait, 0) + random.uniform(0, jitter))  # noqa: S311 - no secret

    async def run_if_due(self, observe: Observer) -> float:
        """Claim the job and run it. Returns in how many seconds to ask again."""
        holder = secrets.token_hex(8)
        claimed_at = asyncio.get_running_loop().time()  # the lease begins later, so it ends later
        ((state, wait),) = await self._send(
            CLAIM, holder, lease=self._timeout + MARGIN, every=self._every
        )
        if state == "held":
            logger.info("the job %s still runs in another process", self.name)
        if state in {"held", "not due"}:
            return float(wait)
        if state == "taken over":
            logger.warning("the lease of the job %s was not given back: it runs again", self.name)
        try:
            outcome, duration = await self._run(claimed_at + self._timeout)
        except asyncio.CancelledError:
            with contextlib.suppress(ApiError, DatabaseFailure):  # the lease ends by itself
                await self._send(RELEASE, holder, finished=False)
            raise
        observe(self.name, outcome, duration)
        rows = await self._send(RELEASE, holder, finished=True)
        if not rows:
            logger.warning(
                "the job %s outlasted its lease: another process may run it too", self.name
            )
        return float(rows[0][0]) if rows else 0.0

    async def _run(self, deadline: float) -> tuple[str, float]:
        """Run the job until it ends or its time is over. Returns the outcome and the seconds it took.

        In a task of its own: whatever it raises, and if it cancels itself, the runner goes on.
        """
        started, loop = time.monotonic(), asyncio.get_running_loop()
        task = loop.create_task(self._call(deadline))
        try:
            _, late = await asyncio.wait({task}, timeout=max(0.0, deadline - loop.time()))
            if late:
                task.cancel()
                await asyncio.wait({task})
        except asyncio.CancelledError:  # the service stops
            task.cancel()
            await asyncio.wait({task})
            raise
        outcome = self._outcome(task, timed_out=bool(late))
        duration = time.monotonic() - started
        if outcome == "ok" and duration > SLOW * self._timeout:
            logger.warning(
                "the job %s took %.0f s: it is cancelled after %.0f s",
                self.name,
                duration,
                self._timeout,
            )
        return outcome, duration

    def _outcome(self, task: "asyncio.Task[None]", *, timed_out: bool) -> str:
        """Return the outcome of a run that has ended, and log a failure with its traceback."""
        failure: BaseException | None = None
        try:
            task.result()
        except BaseException as error:  # noqa: BLE001 - also one that cancelled itself
            failure = error
        if timed_out:
            logger.error(
                "the job %s was cancelled after %.0f s, its time limit",
                self.name,
                self._timeout,
                exc_info=failure,
            )
            return "timed_out"
        if failure is not None:
            logger.error("the job %s failed", self.name, exc_info=failure)
            return "failed"
        return "ok"

    async def _call(self, deadline: float) -> None:
        await self._job.run(JobContext(self._database, self._plugin, deadline, self._settings))

    async def _send(self, statement: Statement, holder: str, **parameters: Any) -> list[Row]:
        """Send a statement of the lease."""
        return await self._database.run(
            statement,
            caller_of(self._plugin, asyncio.get_running_loop().time() + STATEMENT_TIME),
            plugin=self._plugin.schema,
            name=self._job.name,
            holder=holder,
            **parameters,
        )
