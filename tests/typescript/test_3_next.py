"""The pages of docs/clients.md in a real Next.js, which is also the Better Auth server."""

import re
from html import unescape

import httpx2
import pytest
from better_auth.log import Say
from better_auth.people import People, Person

from typescript.project import Project
from typescript.website import Website

MANY = 101  # one more than the maximum page size


def submit(person: Person, page: str, **fields: str) -> httpx2.Response:
    """Fill in the page's form and send it like a browser without JavaScript."""
    html = person.browser.get(page).raise_for_status().text
    hidden = re.findall(r'<input type="hidden" name="([^"]+)"(?: value="([^"]*)")?', html)
    parts = {name: (None, unescape(value)) for name, value in [*hidden, *fields.items()]}
    return person.browser.post(page, files=parts)


@pytest.mark.proves("FR-009")
def test_pages_actions_and_route_handlers(
    website: Website, project: Project, people: People, say: Say
) -> None:
    app = website.app
    with website.service() as api:
        alice, bob = people.sign_up(app), people.sign_up(app, "Bob")
        tasks_page, export = f"{app.origin}/tasks", f"{app.origin}/export"
        away = httpx2.get(tasks_page, timeout=60)
        assert (away.status_code, away.headers["location"]) == (307, "/sign-in")
        say("/tasks, signed out: off to /sign-in")

        answer = submit(alice, tasks_page, title="Buy milk", description="")
        assert answer.status_code == 200, answer.text
        hers = alice.at(api)
        (task,) = hers.client.get("/api/v1/tasks").json()["items"]
        assert (task["title"], task["user_id"]) == ("Buy milk", alice.id)
        assert "Buy milk" in alice.browser.get(tasks_page).text
        say("her form, sent to the server action: the task is hers, and the page shows it")

        for number in range(1, MANY):
            hers.create(title=f"Task {number}")
        exported = alice.browser.get(export).raise_for_status().json()
        assert [task["user_id"] for task in exported] == [alice.id] * MANY
        say(f"/export, a route handler: {MANY} tasks over two pages")
        assert bob.browser.get(export).json() == []
        assert "Buy milk" not in bob.browser.get(tasks_page).text
        say("Bob, on the same pages: none of them")

    scripts = project.directory / ".next/static"
    assert any(website.deployment.api in script.read_text() for script in scripts.rglob("*.js"))
    say("the client component's script calls the task API itself")
