"""The client's repetitions; and the client with the real service and a session at a Better Auth."""

import json

import pytest
from better_auth.log import Say
from better_auth.programs import Deployment

from typescript.project import Project

TASKS = "/api/v1/tasks"
TIMEOUT = 120  # seconds
JITTER = 0.5  # the half of each pause, as the program has it instead of a random part
SIGN_UP = ["POST", "/api/auth/sign-up/email", 200]
TOKEN = ["GET", "/api/auth/token", 200]


def test_repetition_keeps_its_bounds(project: Project, say: Say) -> None:
    """At most three times, after at most 10 s each, with one key; only what is worth it."""
    project.run("npm", "run", "--silent", "driver", timeout=TIMEOUT)
    program = "require('./built/driver/repeats').repeats().then((all) => console.log(JSON.stringify(all)))"
    found = json.loads(project.run("node", "-e", program, timeout=TIMEOUT))
    shape = {name: (case["attempts"], case["result"]) for name, case in found.items()}
    assert shape == {
        "forever": (4, 503),
        "seconds": (2, 200),
        "date": (2, 200),
        "pastDate": (2, 200),
        "nonsense": (2, 200),
        "tooLong": (1, 503),
        "tooLongDate": (1, 503),
        "notAsked": (1, 503),
        "notTemporary": (1, 500),
        "lost": (4, "TypeError"),
        "cancelled": (1, "AbortError"),
        "read": (2, 200),
        "ownKey": (2, 200),
    }
    pauses = {name: case["pauses"] for name, case in found.items()}
    first, second, third = (0.5 * (1 + JITTER), 1 + JITTER, 2 * (1 + JITTER))
    assert pauses["lost"] == [first, second, third]
    assert pauses["forever"] == [1 + 0.5 * JITTER, second, third]
    assert pauses["seconds"] == [4 + 0.5 * JITTER]
    assert pauses["pastDate"] == pauses["nonsense"] == [first]
    assert 4 < pauses["date"][0] < 7  # a date has whole seconds
    keys = {name: case["keys"] for name, case in found.items()}
    assert keys["read"] == [None]
    assert keys["ownKey"] == ["mine"]
    assert all(len(each) == 1 for each in keys.values())
    assert all(keys[name] != [None] for name in ("forever", "lost", "date"))
    say(
        "repeat.ts: Retry-After as seconds and as a date, at most 10 s, at most three times, one key"
    )


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
