"""Posts every change of a task to a webhook, at least once, in the order of each task's changes."""

import logging
from datetime import timedelta
from pathlib import Path

import httpx2
from pydantic import Field, HttpUrl
from sqlalchemy import text

from tasks_backend import Job, JobContext, Plugin, PluginSettings, statement

DUE = statement(
    text("""
        SELECT id, event, attempts FROM tasks_backend_outbox.events
        WHERE due_at <= now() ORDER BY id LIMIT 20
    """),
    idempotent=True,
)
DELIVERED = statement(
    text("DELETE FROM tasks_backend_outbox.events WHERE id = :id"), idempotent=True
)
FAILED = statement(
    text("""
        UPDATE tasks_backend_outbox.events
        SET attempts = :attempts, due_at = now() + CAST(:delay AS interval) WHERE id = :id
    """),
    idempotent=True,
)
MAX_DELAY = 3600  # seconds
logger = logging.getLogger("tasks_backend.outbox")


class OutboxSettings(PluginSettings):
    webhook: HttpUrl = Field(description="Where changes are posted.")


async def deliver(job: JobContext) -> None:
    webhook = str(job.settings(OutboxSettings).webhook)
    async with httpx2.AsyncClient(timeout=10) as client:
        for number, event, attempts in await job.run(DUE):
            try:
                (await client.post(webhook, json=event)).raise_for_status()
            except httpx2.HTTPError as error:
                delay = min(2**attempts, MAX_DELAY)
                logger.warning("event %s failed: %s", number, type(error).__name__)
                await job.run(FAILED, id=number, attempts=attempts + 1, delay=f"{delay} s")
            else:
                await job.run(DELIVERED, id=number)


plugin = Plugin(
    "outbox",
    migrations=Path(__file__).with_name("migrations"),
    settings=OutboxSettings,
    jobs=[Job("deliver", every=timedelta(seconds=1), run=deliver)],
)
