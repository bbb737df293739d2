"""With any fault, no write is lost or done twice and no request hangs."""

import asyncio
import gc
import random
import time
from collections.abc import Iterator

import pytest
import uvloop

from faults.campaign import ENOUGH, Campaign
from faults.check import check
from faults.deployment import REQUEST_TIMEOUT, SIDES, Deployment
from faults.fault import Fault
from faults.load import Load
from faults.record import History, Outcome, Row, Task
from faults.report import details, written

PROGRESS = 5.0  # seconds
WARM_UP = 3.0
LIFETIME = 86_400  # seconds; a run's tokens are valid longer
FINAL = """
SELECT id::text, user_id, title, description, completed, created_at, updated_at, version
FROM tasks_backend.tasks
"""


@pytest.fixture
def _uncollected() -> Iterator[None]:
    """A history contains no garbage; collecting would delay the load."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_uncollected")
def test_no_fault_makes_a_write_lost_doubled_or_hanging(
    deployment: Deployment,
    kinds: tuple[type[Fault], ...],
    pytestconfig: pytest.Config,
    report: list[str],
) -> None:
    option = pytestconfig.getoption
    seconds, seed = option("faults_seconds"), option("faults_seed")
    campaign = Campaign()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        history = runner.run(
            _run(deployment, campaign, kinds, seed, seconds, option("faults_users"))
        )
    history.rows = _rows(deployment)
    verdict = check(history, REQUEST_TIMEOUT)
    tracebacks = deployment.tracebacks
    report.append(written(f"Faults, seed {seed}", history, campaign, verdict, tracebacks))
    assert not campaign.broken, campaign.broken
    assert verdict.holds, details(verdict, tracebacks)
    assert not tracebacks, details(verdict, tracebacks)
    assert deployment.deadlocks == 0
    assert len(campaign.done) >= min(ENOUGH, len(kinds) - len(campaign.skipped)), campaign.done
    for event in campaign.events:
        assert set(event.back) == set(SIDES), f"after {event.name} only {event.back} came back"
    assert verdict.writes[Outcome.ACKNOWLEDGED] > 0


async def _run(
    deployment: Deployment,
    campaign: Campaign,
    kinds: tuple[type[Fault], ...],
    seed: int,
    seconds: float,
    users: int,
) -> History:
    ports = {side: deployment.services[side].port for side in SIDES}
    exp = int(time.time()) + LIFETIME
    load = Load(users, ports, lambda sub: deployment.signer.token(sub, exp=exp), seed)
    tally, started = load.tally, time.monotonic()

    def tell(line: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {line}", flush=True)  # noqa: T201 - the progress of a long run

    async def progress() -> None:
        while True:
            await asyncio.sleep(PROGRESS)
            counts = (
                f"{tally.acknowledged} writes, {tally.in_doubt} in doubt, {tally.failed} failed"
            )
            tell(f"{counts}{f'; now: {campaign.now}' if campaign.now else ''}")

    async def faults() -> None:
        await asyncio.sleep(WARM_UP)
        await campaign.run(deployment, tally, kinds, random.Random(seed), seconds, tell)

    shown = asyncio.create_task(progress())
    try:
        return await load.run(asyncio.create_task(faults()))
    finally:
        shown.cancel()


def _rows(deployment: Deployment) -> list[Row]:
    """All tasks, read directly from the database without row-level security."""
    with deployment.postgres.cluster.cursor(deployment.database) as cursor:
        cursor.execute(FINAL)
        return [Row(Task(*fields), version) for *fields, version in cursor.fetchall()]
