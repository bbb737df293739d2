"""A process that is killed while it runs a job: `python -m support.dying_job URL PLUGIN`."""

import asyncio
import os
import signal
import sys
from datetime import timedelta

from tasks_backend import Job, JobContext, Plugin
from tasks_backend.db.database import Database
from tasks_backend.db.pool import Pool
from tasks_backend.jobs import runner


async def die(_: JobContext) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def main(url: str, name: str) -> None:
    runner.MARGIN = 0.2  # seconds; the test need not wait for longer
    job = Job("job", timedelta(days=1), die, timeout=timedelta(seconds=1))
    database = Database(Pool(url, size=1, wait=5, connect_timeout=5), statement_timeout=5)
    await runner.ScheduledJob(Plugin(name, jobs=[job]), job, database, {}).run_if_due(print)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
