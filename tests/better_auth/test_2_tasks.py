"""A task's life over HTTP, for users who signed up at Better Auth."""

import pytest

from better_auth.log import Say
from better_auth.people import People, claims, header
from better_auth.programs import Deployment
from tasks_backend.testing.service import problem

TASKS = "/api/v1/tasks"


@pytest.mark.proves("SC-003", "SC-008")
@pytest.mark.parametrize("variant", ["", "defaults"], ids=["as documented", "jwt() as it comes"])
def test_two_users_and_their_tasks(
    deployment: Deployment, people: People, say: Say, variant: str
) -> None:
    with (
        deployment.better_auth(variant) as auth,
        deployment.tasks_backend(BETTER_AUTH_URL=auth.url) as api,
    ):
        persons = [people.sign_up(auth, "Alice Ünïcode"), people.sign_up(auth, "Bob")]
        say("two people signed up")

        token = persons[0].token()
        assert header(token)["alg"] == "EdDSA"
        assert (claims(token)["iss"], claims(token)["aud"]) == (auth.origin, auth.origin)
        assert ("name" in claims(token)) == (variant == "defaults")
        alice = persons[0].at(api, token)
        say(
            f"Alice's is from /api/auth/token: {len(token)} bytes; header {', '.join(header(token))};"
            f" claims {', '.join(claims(token))}"
        )
        session = persons[1].browser.get("/get-session")
        bob = persons[1].at(api, session.headers["set-auth-jwt"])
        say("Bob's is from the header set-auth-jwt of /api/auth/get-session")

        for name, user, other in (("Alice", alice, bob), ("Bob", bob, alice)):
            task = user.create(title="Buy milk", description="Two litres")
            path = f"{TASKS}/{task['id']}"
            assert task["user_id"] == user.sub
            assert user.client.get(TASKS).json()["items"] == [task]
            assert user.read(task["id"]) == task
            say(f"{name}: 201 created, 200 listed, 200 read; user_id is the id at Better Auth")

            patched = user.client.patch(path, json={"title": "Buy oat milk"})
            assert (patched.status_code, patched.json()["title"]) == (200, "Buy oat milk")
            whole = {"title": "Buy bread", "description": None, "completed": False}
            put = user.client.put(path, json=whole)
            assert (put.status_code, {**put.json(), **whole}) == (200, put.json())
            toggled = user.client.post(f"{path}/toggle")
            assert (toggled.status_code, toggled.json()["completed"]) == (200, True)
            say(f"{name}: 200 patched, 200 put, 200 toggled")

            problem(other.client.get(path), 404, "task_not_found")
            assert other.client.get(TASKS).json()["items"] == []
            problem(other.client.patch(path, json={"title": "Mine"}), 403, "task_forbidden")
            problem(other.client.put(path, json=whole), 403, "task_forbidden")
            problem(other.client.post(f"{path}/toggle"), 403, "task_forbidden")
            problem(other.client.delete(path), 403, "task_forbidden")
            assert user.read(task["id"]) == toggled.json()
            say(
                f"{name}'s, for the other: 404 to read, not listed, 403 to patch, put, toggle and delete"
            )

            assert user.client.delete(path).status_code == 204
            problem(user.client.get(path), 404, "task_not_found")
            say(f"{name}: 204 deleted, then 404")


@pytest.mark.proves("FR-008", "FR-009", "EDGE-6")
def test_an_invalid_token_is_refused(deployment: Deployment, people: People, say: Say) -> None:
    with (
        deployment.better_auth("cookieCache") as auth,
        deployment.tasks_backend(BETTER_AUTH_URL=auth.url) as api,
    ):
        alice = people.sign_up(auth)
        assert alice.at(api).client.get(TASKS).status_code == 200

        opaque = f"Bearer {alice.session_token}"
        client = alice.at(api).client
        client.headers["Authorization"] = opaque
        problem(client.get(TASKS), 401, "invalid_token")
        say("the opaque session token as a bearer token: 401 invalid_token")

        cookies = dict(alice.browser.cookies)
        assert cookies["better-auth.session_token"].startswith(alice.session_token)
        cached = cookies["better-auth.session_data"]
        signed = header(cached)
        own_secret = signed["alg"] == "HS256"  # in 1.6
        assert own_secret or signed["kid"] in auth.key_ids()
        assert alice.id in str(claims(cached))
        client.headers["Authorization"] = f"Bearer {cached}"
        problem(client.get(TASKS), 401, "invalid_token")
        say(f"the session cookie's JWT, alg {signed['alg']}, as a bearer token: 401 invalid_token")

        client.headers["Cookie"] = "; ".join(f"{k}={v}" for k, v in cookies.items())
        del client.headers["Authorization"]
        problem(client.get(TASKS), 401, "missing_token")
        problem(client.post(TASKS, json={"title": "Buy milk"}), 401, "missing_token")
        say("the session's cookies and no bearer token: 401 missing_token")
