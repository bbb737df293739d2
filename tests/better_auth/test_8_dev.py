"""A whole application on `tasks-backend dev`, without a PostgreSQL of its own (docs/auth.md)."""

import re
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from better_auth.log import Say
from better_auth.people import People
from better_auth.programs import Deployment, free_port

TASKS = "/api/v1/tasks"


@pytest.mark.proves("SC-008", "FR-009")
def test_an_application_runs_on_the_postgresql_of_dev(
    node: Path, tmp_path: Path, people: People, say: Say
) -> None:
    place = Deployment(node, tmp_path, "", auth_port=free_port(), api_port=free_port())
    options = ["--port", str(place.api_port), "--data-dir", str(tmp_path / "data")]
    with place.running(
        "dev",
        ["tasks-backend", "dev", *options],
        {"BETTER_AUTH_URL": place.auth_origin},
        f"{place.api}/livez",
    ) as log:
        printed = log.read_text()
        assert "taken from the environment and .env: BETTER_AUTH_URL" in printed
        (database,) = re.findall(r"DATABASE_URL=(\S+)$", printed, re.MULTILINE)
        application = replace(place, database=database)
        application.run("node", "driver/migrate.mjs")
        say("Better Auth made its tables in a database of dev's PostgreSQL")
        with application.better_auth() as auth:
            person = people.sign_up(auth)
            assert application.rows('SELECT id FROM "user"') == [(person.id,)]
            assert application.rows("SELECT to_regnamespace('tasks_backend')") == [(None,)]
            assert person.at(place.api).create()["user_id"] == person.id
            say("a user signed up there, and created a task with Better Auth's token: 201")
            (token,) = re.findall(r"^ey\S+$", printed, re.MULTILINE)
            headers = {"Authorization": f"Bearer {token}"}
            mine = httpx2.get(place.api + TASKS, headers=headers, timeout=30)
            assert mine.json()["items"] == []
            say("dev's own token beside it: 200, and its user's list is empty")
