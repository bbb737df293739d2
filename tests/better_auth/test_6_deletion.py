"""Better Auth deletes a user: the effect on the user's tasks."""

from better_auth.log import Say
from better_auth.people import People, claims
from better_auth.programs import Deployment
from tasks_backend.testing.service import problem

TASKS = "/api/v1/tasks"
OWNERS = "SELECT DISTINCT user_id FROM tasks_backend.tasks"
USERS = "SELECT id FROM tasks_backend.users"
SWEEP = ("tasks-backend", "purge-user", "--not-in", 'SELECT id FROM "user"')  # docs/auth.md
ACCOUNTS = 'SELECT u.id FROM "user" u JOIN account a ON a."userId" = u.id'


def test_deleting_a_user_is_not_blocked_and_leaves_the_tasks(
    deployment: Deployment, people: People, say: Say
) -> None:
    with (
        deployment.better_auth("deletable") as auth,
        deployment.tasks_backend(BETTER_AUTH_URL=auth.url) as api,
    ):
        person = people.sign_up(auth)
        alice = person.at(api)
        alice.create()
        deleted = person.browser.post("/delete-user", json={})
        assert (deleted.status_code, deployment.rows(ACCOUNTS)) == (200, [])
        say("/delete-user: 200, and nothing of the user is left at Better Auth")
        assert deployment.rows(OWNERS) == deployment.rows(USERS) == [(person.id,)]
        found = deployment.run(*SWEEP, "--at-most", "1", "--dry-run")
        assert found.split() == [person.id]
        say("the tasks are still there, and the documented sweep finds whose they were")
        assert person.browser.get("/token").status_code == 401
        assert len(alice.client.get(TASKS).json()["items"]) == 1
        say("no new token: 401; the one from before counts until it expires: 200")


def test_a_hook_of_better_auth_purges_the_tasks(
    deployment: Deployment, people: People, say: Say
) -> None:
    with (
        deployment.better_auth("purging") as auth,
        deployment.tasks_backend(BETTER_AUTH_URL=auth.url) as api,
    ):
        alice, bob = people.sign_up(auth), people.sign_up(auth, "Bob")
        hers, his = alice.at(api), bob.at(api)
        for user in (hers, his):
            user.create()
        deleted = alice.browser.post("/delete-user", json={})
        assert deleted.status_code == 200, deleted.text
        assert deployment.rows(ACCOUNTS) == [(bob.id,)]
        assert deployment.rows(OWNERS) == deployment.rows(USERS) == [(bob.id,)]
        say("/delete-user: 200, the hook ran `tasks-backend purge-user`: Alice's tasks are gone")
        assert len(his.client.get(TASKS).json()["items"]) == 1
        assert hers.client.get(TASKS).json()["items"] == []
        say("Bob's are still there; a token of hers from before lists none")
        hers.create()
        assert deployment.run(*SWEEP, "--yes").split() == [alice.id]
        assert deployment.rows(OWNERS) == deployment.rows(USERS) == [(bob.id,)]
        say("that token still creates a task: 201; the sweep leaves nothing of her")


def test_a_guests_tasks_become_those_of_the_user_who_signs_up(
    deployment: Deployment, people: People, say: Say
) -> None:
    with (
        deployment.better_auth("guests") as auth,
        deployment.tasks_backend(BETTER_AUTH_URL=auth.url) as api,
    ):
        guest = people.anonymous(auth)
        task = guest.at(api).create()
        user = people.sign_up(auth, browser=guest.browser)
        assert user.id != guest.id
        assert deployment.rows(ACCOUNTS) == [(user.id,)]
        say("a guest signs up: Better Auth deletes the guest, and the hook runs")
        late, moved = user.at(api).client.get(TASKS).json()["items"]
        assert moved == {**task, "user_id": user.id}
        say("the task has the same id and times, and is the new user's")
        assert (late["title"], late["user_id"]) == ("Late", user.id)
        say("so is the one that the guest created between the move and the deletion")
        assert deployment.run(*SWEEP, "--yes").split() == [guest.id]
        assert deployment.rows(OWNERS) == deployment.rows(USERS) == [(user.id,)]
        say("the sweep removes the guest, who has no tasks")


def test_an_impersonated_user_is_refused(deployment: Deployment, people: People, say: Say) -> None:
    with (
        deployment.better_auth("impersonation") as auth,
        deployment.tasks_backend(BETTER_AUTH_URL=auth.url) as api,
    ):
        user, administrator = people.sign_up(auth), people.sign_up(auth, "Administrator")
        deployment.execute(
            """UPDATE "user" SET role = 'admin' WHERE id = %(id)s""", id=administrator.id
        )
        user.at(api).create()
        started = administrator.browser.post("/admin/impersonate-user", json={"userId": user.id})
        assert started.status_code == 200, started.text
        token = administrator.token()
        assert (claims(token)["sub"], claims(token)["aud"]) == (user.id, "nobody")
        problem(administrator.at(api, token).client.get(TASKS), 401, "invalid_token")
        say("the token of an impersonated session: aud nobody, 401")
        ended = administrator.browser.post("/admin/stop-impersonating", json={})
        assert ended.status_code == 200, ended.text
        assert administrator.at(api).client.get(TASKS).json()["items"] == []
        say("after the impersonation, the administrator's own token: 200")
