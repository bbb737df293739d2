"""The JavaScript of docs/auth.md, run as in a page and in a server component."""

import json
from pathlib import Path

import httpx2
import pytest

from better_auth.log import Say
from better_auth.programs import Deployment

TASKS = "/api/v1/tasks"
DOCUMENT = Path(__file__).parents[2] / "docs" / "auth.md"
APP = sorted((Path(__file__).parent / "app").iterdir())
SIGN_UP = ["POST", "/api/auth/sign-up/email", 200]
SIGN_OUT = ["POST", "/api/auth/sign-out", 200]


def test_a_page_fetches_one_new_token_when_the_old_one_is_refused(
    deployment: Deployment, say: Say
) -> None:
    with (
        deployment.better_auth("expired") as auth,
        deployment.tasks_backend(BETTER_AUTH_URL=auth.url, CORS_ORIGINS=auth.origin) as api,
    ):
        preflight = httpx2.options(
            f"{api}{TASKS}",
            headers={
                "Origin": auth.origin,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization,content-type",
            },
        )
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == auth.origin
        say("a browser would be let through: CORS_ORIGINS has the app's origin")

        page = json.loads(deployment.run("node", "driver/page.mjs", NEXT_PUBLIC_TASKS_API_URL=api))

    def token(status: int) -> list[object]:
        return ["GET", "/api/auth/token", status]

    def create(status: int) -> list[object]:
        return ["POST", TASKS, status]

    alice = [SIGN_UP, token(200), create(401), token(200), create(201), create(201), SIGN_OUT]
    bob = [SIGN_UP, token(200), create(201), ["GET", "/page", 200]]
    assert page["sent"] == [*alice, token(401), *bob]
    assert page["hers"]["user_id"] == page["again"]["user_id"] == page["alice"]
    say("an expired token: 401, one new token, 201; the next call uses it: 201")
    assert page["signedOut"] == "Signed out"
    say("signed out: the page is told so, and nothing is sent")
    assert page["his"]["user_id"] == page["bob"] != page["alice"]
    say("Bob signed in on the same page: the task is his")
    assert page["other"] == "Somebody else is signed in"
    say("Bob, where the page still shows Alice's tasks: nothing is sent")
    assert page["onTheServer"] == [page["his"]]
    say("a server component with his cookie: his task, and no other")


@pytest.mark.parametrize("file", APP, ids=lambda file: file.name)
def test_the_document_shows_the_tested_code(file: Path) -> None:
    assert f"```js\n{file.read_text()}```" in DOCUMENT.read_text()
