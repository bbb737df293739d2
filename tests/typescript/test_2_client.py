"""The generated client and the real service, with a session at a real Better Auth."""

import json

import pytest
from better_auth.log import Say
from better_auth.programs import Deployment

from typescript.project import Project

TASKS = "/api/v1/tasks"
TIMEOUT = 120  # seconds
SIGN_UP = ["POST", "/api/auth/sign-up/email", 200]
TOKEN = ["GET", "/api/auth/token", 200]


@pytest.mark.proves("SC-008")
def test_every_operation_from_node(deployment: Deployment, project: Project, say: Say) -> None:
    project.run("npm", "run", "--silent", "driver", timeout=TIMEOUT)
    with (
        deployment.better_auth("expired") as auth,
        deployment.tasks_backend(BETTER_AUTH_URL=auth.url) as api,
    ):
        life = json.loads(
            deployment.run("node", "../driver/run.mjs", NEXT_PUBLIC_TASKS_API_URL=api)
        )

    task = f"{TASKS}/{life['created']['id']}"
    opened = [SIGN_UP, TOKEN, ["POST", TASKS, 401], TOKEN, *[["POST", TASKS, 201]] * 2]
    assert life["sent"][: len(opened)] == opened
    assert TOKEN not in life["sent"][len(opened) :]
    assert life["created"]["user_id"] == life["alice"]
    say("signed up; an expired token: 401, one new token, and the create again: 201")
    assert (life["repeated"], life["replayed"]) == (life["created"], "true")
    say("the same Idempotency-Key: the same task")

    assert (life["changed"]["title"], life["reads"]) == ("Buy oat milk, today", 2)
    changes = [[method, status] for method, path, status in life["sent"] if path == task]
    others = [["GET", 200], ["PATCH", 200], ["PATCH", 412]]
    assert changes[:5] == [*others, ["GET", 200], ["PATCH", 200]]
    say("If-Match, and somebody else was quicker: 412, read anew, 200")
    assert life["put"]["title"] == life["toggled"]["title"] == "Buy bread"
    assert life["toggled"]["completed"] is True
    assert (life["deleted"], changes[-2:]) == (204, [["DELETE", 204], ["GET", 404]])
    say("put, toggled, deleted; then 404")

    assert life["listed"] == 101
    assert life["sent"].count(["GET", TASKS, 200]) == 3
    assert life["done"] == ["Buy bread", *(f"Task {number}" for number in range(4))]
    say("101 tasks over next_cursor: two pages; the first five that are done: one")
    assert life["problems"] == [
        ["idempotency_key_reused", "give up"],
        ["validation_error", "correct"],
        ["task_not_found", "read again"],
    ]
    assert life["invalid"] == [["title", "string_too_short"]]
    assert life["proxy"] == "Not an answer of the task API: 502"
    say("failures are told by their code; a proxy's empty 502 is thrown, not taken for one")
