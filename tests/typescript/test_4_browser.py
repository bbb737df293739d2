"""The pages of docs/clients.md in a real Chromium: tabs, users, conflicts and failures."""

import json
from collections.abc import Iterator
from typing import Any, Self

import pytest
from better_auth.log import Say
from better_auth.people import PASSWORD, People, Person
from playwright.sync_api import Browser, BrowserContext, Route, expect

from tasks_backend.testing.service import User
from typescript.website import Website

WAIT = 30_000  # milliseconds
TOGGLE = "**/toggle"
COUNT = """
  told = 0;
  const post = BroadcastChannel.prototype.postMessage;
  BroadcastChannel.prototype.postMessage = function (message) { post.call(this, message); told++; };
"""
"""In each page, `told` is the number of its messages to other tabs."""
KNOWS = "told > 0"
"""Whether the page knows who is signed in: it then tells the other tabs."""
ELSE = "Somebody else is signed in. Reload the page."


class Tab:
    """One tab of a browser, used through what is visible."""

    def __init__(self, context: BrowserContext, website: Website) -> None:
        self.page = context.new_page()
        self._origin = website.app.origin

    def open(self, path: str = "/tasks") -> None:
        """Open a page and wait until it works; before, a button does nothing."""
        self.goto(path)
        self.page.wait_for_function(KNOWS)

    def goto(self, path: str) -> None:
        self.page.goto(self._origin + path)

    def sign_in(self, person: Person) -> None:
        """On the page that is open."""
        self.page.get_by_label("E-mail").fill(person.email)
        self.page.get_by_label("Password").fill(PASSWORD)
        self._change_session("Sign in", f"Signed in: {person.email}")

    @classmethod
    def signed_in(cls, context: BrowserContext, website: Website, person: Person) -> Self:
        """A tab of a browser in which this person is signed in, on the sign-in page."""
        tab = cls(context, website)
        tab.open("/sign-in")
        tab.sign_in(person)
        return tab

    def sign_in_elsewhere(self, person: Person) -> None:
        """As a redirect does: the page's code has no part in it."""
        answer = self.page.request.post(
            f"{self._origin}/api/auth/sign-in/email",
            data={"email": person.email, "password": PASSWORD},
            headers={"Origin": self._origin},
        )
        assert answer.ok

    def sign_out(self) -> None:
        self._change_session("Sign out", "Signed out")

    def _change_session(self, button: str, status: str) -> None:
        told = self.page.evaluate("told")
        self.press(button)
        expect(self.page.get_by_role("status")).to_have_text(status)
        # one message with the response, one when the page has read the new session
        self.page.wait_for_function(f"told >= {told + 2}")

    def hear(self, other: Self) -> None:
        """Wait until all messages of the other tab have arrived."""
        self.page.evaluate(
            "last = new BroadcastChannel('last');"
            " arrived = new Promise((done) => { last.onmessage = () => done(true) }); true"
        )
        other.page.evaluate("new BroadcastChannel('last').postMessage('')")
        assert self.page.evaluate("arrived")

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def add(self, title: str, description: str = "") -> None:
        self.page.get_by_label("Title").fill(title)
        self.page.get_by_label("Description").fill(description)
        self.press("Add")

    def shows(self, text: str) -> None:
        expect(self.page.get_by_text(text, exact=True).first).to_be_visible()

    def counts(self, number: int) -> None:
        expect(self.page.locator("p").filter(has_text="Tasks:")).to_contain_text(
            f"Tasks: {number} "
        )

    def alerts(self, text: str, within: str = "li") -> None:
        expect(self.page.locator(f"{within} p[role=alert]")).to_contain_text(text)

    def titles(self) -> list[str]:
        return self.page.locator("li > a").all_inner_texts()


@pytest.fixture
def api(website: Website) -> Iterator[str]:
    with website.service() as api:
        yield api


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    expect.set_options(timeout=WAIT)
    context = chromium.new_context()
    context.set_default_timeout(WAIT)
    context.add_init_script(COUNT)
    yield context
    context.close()


def tasks_of(user: User) -> list[dict[str, Any]]:
    """The user's tasks, the oldest first."""
    items: list[dict[str, Any]] = user.client.get(
        "/api/v1/tasks", params={"order": "asc", "limit": 100}
    ).json()["items"]
    return items


@pytest.mark.proves("EDGE-8")
def test_a_tab_never_writes_for_another_user(
    website: Website, api: str, people: People, context: BrowserContext, say: Say
) -> None:
    ann, carl = people.sign_up(website.app, "Ann"), people.sign_up(website.app, "Carl")
    hers, his = ann.at(api), carl.at(api)
    hers.create(title="Ann's")
    second, first = Tab.signed_in(context, website, ann), Tab(context, website)
    first.open()
    first.press("Done")
    first.page.get_by_role("button", name="Not done").wait_for()
    say("tab 1: Ann's task, done")

    for way in ("sign-out, sign-in", "sign-in", "redirect"):
        if way == "redirect":
            second.sign_in_elsewhere(carl)
            second.open()
        else:
            if way == "sign-out, sign-in":
                second.sign_out()
            second.sign_in(carl)
        first.hear(second)
        first.press("Not done")
        first.alerts(ELSE)
        first.add("Whose?")
        first.alerts(ELSE, within="form")
        assert [task["completed"] for task in tasks_of(hers)] == [True]
        assert tasks_of(his) == []
        second.open("/sign-in")
        second.sign_in(ann)
        first.open()
        first.press("Not done")
        first.page.get_by_role("button", name="Done", exact=True).wait_for()
        first.press("Done")
        first.page.get_by_role("button", name="Not done").wait_for()
    say("tab 2: Carl, in three ways; tab 1 writes into neither list, and says why")

    second.sign_out()
    first.hear(second)
    first.press("Not done")
    first.alerts("You are signed out. Reload the page.")
    assert [task["completed"] for task in tasks_of(hers)] == [True]
    first.page.reload()
    first.page.wait_for_url("**/sign-in")
    say("tab 2: signed out; tab 1 says so, and is sent to the sign-in page")


@pytest.mark.proves("EDGE-8")
def test_a_slow_token_is_not_used_after_the_next_sign_in(
    website: Website, api: str, people: People, context: BrowserContext, say: Say
) -> None:
    eve, fay = people.sign_up(website.app, "Eve"), people.sign_up(website.app, "Fay")
    hers, other = eve.at(api), fay.at(api)
    hers.create(title="Eve's")
    other.create(title="Fay's")
    tab = Tab.signed_in(context, website, eve)
    tab.page.get_by_role("link", name="Tasks").click()
    tab.shows("Eve's")

    slow: list[Any] = []
    tab.page.route("**/api/auth/token", lambda route: slow.append((route, route.fetch())), times=1)
    with tab.page.expect_request("**/api/auth/token"):
        tab.press("Done")
    tab.page.get_by_role("link", name="Account").click()
    tab.sign_out()
    tab.sign_in(fay)
    tab.page.get_by_role("link", name="Tasks").click()
    tab.shows("Fay's")
    ((route, response),) = slow
    assert response.status == 200
    with tab.page.expect_response("**/api/auth/token"):
        route.fulfill(response=response)
    tab.press("Done")
    tab.page.get_by_role("button", name="Not done").wait_for()
    assert [task["completed"] for task in tasks_of(other)] == [True]
    assert [task["completed"] for task in tasks_of(hers)] == [False]
    say("Eve's token arrives after Fay's sign-in: Fay's task is done, Eve's is not")


def test_an_expired_token_is_replaced_once(
    website: Website, api: str, people: People, context: BrowserContext, say: Say
) -> None:
    """Better Auth issued it; a laptop that slept has such a token."""
    ann = people.sign_up(website.app, "Sleeper")
    expired = ann.token()
    ann.browser.post("/update-user", json={"name": "Ann"}).raise_for_status()
    hers = ann.at(api)
    hers.create(title="Ann's")
    tab = Tab.signed_in(context, website, ann)
    tab.open()
    sent: list[str] = []
    tab.page.on(
        "response",
        lambda answer: (
            sent.append(f"{answer.status} {answer.url.rsplit('/', 1)[1]}")
            if answer.url.endswith(("/toggle", "/token")) and answer.request.method != "OPTIONS"
            else None
        ),
    )
    late = [expired]

    def answer(route: Route) -> None:
        if late:
            route.fulfill(json={"token": late.pop()})
        else:
            route.continue_()

    # Not `times=1`: Playwright shows no request that begins while the last route is removed.
    tab.page.route("**/api/auth/token", answer)
    tab.press("Done")
    tab.page.get_by_role("button", name="Not done").wait_for()
    assert sent == ["200 token", "401 toggle", "200 token", "200 toggle"]
    tab.press("Not done")
    tab.page.get_by_role("button", name="Done", exact=True).wait_for()
    assert sent[4:] == ["200 toggle"]
    assert [task["completed"] for task in tasks_of(hers)] == [False]
    say("an expired token: 401, one new token, and toggled once; the next call uses it")


def test_repetition_has_a_limit_and_one_key(
    website: Website, api: str, people: People, context: BrowserContext, say: Say
) -> None:
    ann = people.sign_up(website.app, "Ann")
    hers = ann.at(api)
    hers.create(title="Ann's")
    tab = Tab.signed_in(context, website, ann)
    tab.open()
    keys: list[str | None] = []
    overloaded = {
        "type": "/problems/overloaded",
        "title": "Overloaded",
        "status": 503,
        "detail": "The service is overloaded.",
        "instance": "/",
        "code": "overloaded",
        "request_id": "1",
        "errors": [],
    }

    def refuse(route: Route) -> None:
        keys.append(route.request.headers.get("idempotency-key"))
        route.fulfill(
            status=503,
            body=json.dumps(overloaded),
            headers={
                "Content-Type": "application/problem+json",
                "Retry-After": "1",
                "Access-Control-Allow-Origin": website.app.origin,
                "Access-Control-Expose-Headers": "Retry-After",
            },
        )

    tab.page.route(TOGGLE, refuse)
    tab.press("Done")
    tab.alerts("The service is overloaded.")
    assert len(keys) == 4
    assert len(set(keys)) == 1
    assert keys[0]
    tab.page.unroute(TOGGLE)

    sent: list[str | None] = []

    def lose(route: Route) -> None:
        sent.append(route.request.headers.get("idempotency-key"))
        if len(sent) == 1:
            route.fetch()  # it is done, and the answer is lost
            route.abort()
        else:
            route.continue_()

    tab.page.route(TOGGLE, lose)
    tab.press("Done")
    tab.page.get_by_role("button", name="Not done").wait_for()
    assert len(sent) == 2
    assert len(set(sent)) == 1
    assert sent[0] != keys[0]
    assert [task["completed"] for task in tasks_of(hers)] == [True]
    say("503 for ever: four attempts; a lost answer: two, with one key, and toggled once")


def test_a_service_that_is_down(
    website: Website, people: People, context: BrowserContext, say: Say
) -> None:
    ann = people.sign_up(website.app, "Ann")
    tab = Tab.signed_in(context, website, ann)
    with website.service() as api:
        hers = ann.at(api)
        hers.create(title="Ann's")
        tab.open()
    tab.press("Done")
    tab.alerts("The tasks cannot be reached. Try again later.")
    tab.page.get_by_label("Title").fill("Kept")
    tab.page.get_by_label("Description").fill("one\ntwo")
    tab.press("Add")
    tab.alerts("The tasks cannot be reached. Try again later.", within="form")
    expect(tab.page.get_by_label("Title")).to_have_value("Kept")
    expect(tab.page.get_by_label("Description")).to_have_value("one\ntwo")
    other = Tab(context, website)
    other.goto("/tasks")
    other.alerts("The tasks cannot be reached.", within="body >")
    say("down: each button says so, what was typed is kept, and the page says so")
    with website.service():
        tab.press("Add")
        tab.shows("Kept")
        other.press("Try again")
        other.shows("Kept")
        assert [task["title"] for task in tasks_of(hers)] == ["Ann's", "Kept"]
    say("back: added once")


def test_a_conflict_shows_both_versions(
    website: Website, api: str, people: People, context: BrowserContext, say: Say
) -> None:
    ann = people.sign_up(website.app, "Ann")
    hers = ann.at(api)
    task = hers.create(title="Buy milk")
    tab = Tab.signed_in(context, website, ann)
    for button, title in (("Save mine", "Mine"), ("Keep theirs", "Theirs")):
        tab.open(f"/tasks/{task['id']}")
        tab.page.get_by_label("Title").fill("Mine")
        path = f"/api/v1/tasks/{task['id']}"
        hers.client.patch(path, json={"title": "Theirs"}).raise_for_status()
        tab.press("Save")
        expect(tab.page.get_by_label("Theirs")).to_contain_text("Theirs")
        expect(tab.page.get_by_label("Title")).to_have_value("Mine")
        tab.press(button)
        tab.page.wait_for_url("**/tasks")
        tab.shows(title)
        assert [task["title"] for task in tasks_of(hers)] == [title]
    say("412: both versions are shown; saved mine, then kept theirs")


def test_forms_search_pages_and_clearing(
    website: Website, api: str, people: People, context: BrowserContext, say: Say
) -> None:
    ann = people.sign_up(website.app, "Ann")
    hers = ann.at(api)
    tab = Tab.signed_in(context, website, ann)
    tab.open()
    tab.add("x" * 201, "one\ntwo")
    expect(tab.page.locator("#title-error")).to_contain_text("200")
    expect(tab.page.get_by_label("Title")).to_have_value("x" * 201)
    tab.page.get_by_label("Title").fill("Buy milk")
    tab.press("Add")
    tab.counts(1)
    (task,) = tasks_of(hers)
    assert (task["title"], task["description"]) == ("Buy milk", "one\ntwo")
    expect(tab.page.get_by_label("Title")).to_have_value("")
    tab.page.get_by_role("link", name="Buy milk").click()
    tab.page.get_by_role("button", name="Save").wait_for()
    tab.page.get_by_label("Title").fill("")
    tab.press("Save")
    expect(tab.page.locator("#title-error")).to_be_visible()
    tab.page.get_by_label("Title").fill("Buy oat milk")
    tab.page.get_by_label("Description").fill("one\n\nthree")
    tab.press("Save")
    tab.shows("Buy oat milk")
    assert tasks_of(hers)[0]["description"] == "one\n\nthree"
    say(
        "a title of 201 characters: said at its field, and kept; then a description of several lines"
    )

    for number in range(199):
        hers.create(title=f"Task {number}", completed=number % 2 == 0)
    tab.open()
    seen = tab.titles()
    for page in range(1, 10):
        tab.page.get_by_role("link", name="Next page").click()
        tab.shows(f"Task {198 - 20 * page}")
        seen += tab.titles()
    assert seen == [*(f"Task {number}" for number in reversed(range(199))), "Buy oat milk"]
    assert not tab.page.get_by_role("link", name="Next page").is_visible()
    say("200 tasks on ten pages, each once")

    tab.page.get_by_label("Search").fill("OAT")
    tab.press("Search")
    tab.counts(1)
    assert tab.titles() == ["Buy oat milk"]
    tab.open()
    tab.counts(200)
    tab.press("Clear completed")
    tab.counts(100)
    assert not any(task["completed"] for task in tasks_of(hers))
    say("a search: 1; clear completed: 100 of 200")
