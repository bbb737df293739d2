"""Better Auth stops and restarts; the service needs no restart."""

import httpx2
import pytest

from better_auth.log import Say
from better_auth.people import People
from better_auth.programs import Deployment
from tasks_backend.testing.service import problem
from tasks_backend.testing.waiting import until

TASKS = "/api/v1/tasks"
TIMEOUT = 60  # seconds


def test_requests_work_while_the_auth_server_restarts(
    deployment: Deployment, people: People, say: Say
) -> None:
    with deployment.tasks_backend(BETTER_AUTH_URL=deployment.auth_origin) as api:
        with deployment.better_auth() as auth:
            person = people.sign_up(auth)
            alice = person.at(api)
            alice.create()
            say("a task created: 201")
        with pytest.raises(httpx2.ConnectError):
            person.browser.get("/token")
        answers = [alice.client.get(TASKS).status_code for _ in range(100)]
        answers += [alice.client.post(TASKS, json={"title": "x"}).status_code for _ in range(100)]
        assert answers == [200] * 100 + [201] * 100
        say("auth server stopped: 100 reads 200, 100 writes 201, with the token from before")
        with deployment.better_auth():
            assert alice.client.get(TASKS).status_code == 200
            assert person.at(api).client.get(TASKS).status_code == 200
            say("auth server started again: the token from before 200, the session's next 200")


@pytest.mark.proves("EDGE-6")
def test_a_service_that_starts_first_waits_for_the_keys(
    deployment: Deployment, people: People, say: Say
) -> None:
    with deployment.better_auth() as auth:
        token = people.sign_up(auth).token()
    with deployment.tasks_backend(BETTER_AUTH_URL=auth.url) as api:
        client = people.clients.enter_context(
            httpx2.Client(base_url=api, headers={"Authorization": f"Bearer {token}"}, timeout=30)
        )
        problem(client.get(TASKS), 503, "auth_unavailable")
        say("auth server down, service started: 503 auth_unavailable, with Retry-After")
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["keys"]) == (200, False)
        say("/readyz: 200, keys: false")
        with deployment.better_auth():
            answers = []

            def answered() -> bool:
                answers.append(client.get(TASKS).status_code)
                return answers[-1] != 503

            until(answered, "the service to have keys", pause=0.1)
            assert answers[-1] == 200
            say(f"auth server started: 200 without a restart, after {len(answers) - 1} x 503")
