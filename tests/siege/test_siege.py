"""Attackers do not affect honest users."""

import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psycopg2
import pytest
from faults.record import Row, Task

from siege.course import take
from siege.report import line, written
from siege.service import Service, running
from siege.target import ATTACKERS, TASKS, Target, foreign, forged, token
from siege.verdict import violations
from tasks_backend import Settings
from tasks_backend.testing.signing import Signer

ROWS = """
SELECT id::text, user_id, title, description, completed, created_at, updated_at, version
FROM tasks_backend.tasks WHERE starts_with(user_id, %s)
"""
PAGE = 100  # tasks
LONGEST = "🎉" * 10_000  # of the characters with the longest encoding


@pytest.fixture
def service(workers: int, environment: dict[str, str], tmp_path: Path) -> Iterator[Service]:
    with running(tmp_path, workers, environment) as service:
        yield service


@pytest.fixture
def target(service: Service, signer: Signer) -> Target:
    """The attackers' data; one of their users has a page of the longest tasks."""
    tokens = {name: token(signer, name) for name in ATTACKERS}
    headers = {"Authorization": f"Bearer {tokens['hoarder']}"}
    body = {"title": "x", "description": LONGEST}
    with httpx2.Client(base_url=service.url, headers=headers, timeout=20) as hoarder:
        for _ in range(PAGE):
            answer = hoarder.post(TASKS, json=body)
            assert answer.status_code == 201, answer.text
    limit = Settings.model_fields["max_concurrent_requests"].default
    return Target(
        service.port,
        limit * service.workers,
        tokens,
        forged(signer),
        foreign(signer),
        answer.headers["location"],
    )


@pytest.mark.proves("FR-018")
def test_honest_users_do_not_notice_a_siege(
    workers: int,
    service: Service,
    target: Target,
    signer: Signer,
    database: str,
    names: tuple[str, ...],
    summary: list[str],
    pytestconfig: pytest.Config,
) -> None:
    def rows(prefix: str) -> list[Row]:
        connection = psycopg2.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(ROWS, (prefix,))
                return [Row(Task(*fields), version) for *fields, version in cursor.fetchall()]
        finally:
            connection.close()

    seconds = pytestconfig.getoption("siege_seconds")
    course = take(
        service, target, lambda name: token(signer, name), rows, names=names, seconds=seconds
    )
    found = violations(course)
    sys.stdout.write("\n" + written(course, workers, found))
    summary.append(line(course, workers, found))
    assert not found, "\n".join(found)
