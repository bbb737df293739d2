"""The API, called by a page of another origin, as by a frontend."""

from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page

from browser.log import BrowserLog
from browser.programs import Development
from browser.sites import Site
from tasks_backend import Settings, create_app
from tasks_backend.testing.service import served
from tasks_backend.testing.signing import Signer

CALL = """async ([url, options]) => {
    const signal = AbortSignal.timeout(30_000);
    const response = await fetch(url, { ...options, signal });
    const text = await response.text();
    return {
        status: response.status,
        headers: Object.fromEntries(response.headers),
        body: text ? JSON.parse(text) : null,
    };
}"""


class Frontend:
    """A page that calls the API with a token."""

    def __init__(self, page: Page, api: str, token: str | None) -> None:
        self._page, self._api, self._token = page, api, token

    def call(self, method: str, path: str, body: str | None = None, **headers: str) -> Any:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self._token:
            sent["Authorization"] = f"Bearer {self._token}"
        if body is not None:
            sent["Content-Type"] = "application/json"
        options = {"method": method, "headers": sent} | ({"body": body} if body is not None else {})
        return self._page.evaluate(CALL, [self._api + path, options])


@pytest.fixture
def page(context: BrowserContext, site: Site) -> Page:
    page = context.new_page()
    page.goto(site.listed)
    return page


def test_a_listed_page_uses_everything(page: Page, dev: Development) -> None:
    alice = Frontend(page, dev.url, dev.token)
    create = ("POST", "/api/v1/tasks", '{"title": "Buy milk"}')
    once = {"Idempotency_Key": "one-of-a-page", "X_Request_Id": "my-own"}
    created, again = alice.call(*create, **once), alice.call(*create, **once)
    assert (created["status"], again["status"]) == (201, 201)
    assert created["headers"]["etag"] == '"1"'
    path = created["headers"]["location"]
    assert path.endswith(created["body"]["id"])
    assert created["headers"]["x-request-id"] == "my-own"
    assert again["headers"]["idempotency-replayed"] == "true"
    assert alice.call("POST", "/api/v1/tasks", '{"title": "Tea"}')["status"] == 201

    listed = alice.call("GET", "/api/v1/tasks?limit=1")
    assert 'rel="next"' in listed["headers"]["link"]

    changed = alice.call("PATCH", path, '{"completed": true}', If_Match='"1"')
    assert (changed["status"], changed["headers"]["etag"]) == (200, '"2"')
    stale = alice.call(
        "PUT", path, '{"title": "x", "description": null, "completed": true}', If_Match='"1"'
    )
    assert (stale["status"], stale["body"]["code"]) == (412, "version_mismatch")
    assert alice.call("POST", f"{path}/toggle", If_Match='"2"')["body"]["completed"] is False
    assert alice.call("DELETE", path, If_Match='"3"')["status"] == 204


def test_a_listed_page_reads_failures(page: Page, dev: Development) -> None:
    alice, nobody = Frontend(page, dev.url, dev.token), Frontend(page, dev.url, None)
    for answer, status, code in [
        (nobody.call("GET", "/api/v1/tasks"), 401, "missing_token"),
        (alice.call("GET", "/api/v1/nothing"), 404, "not_found"),
        (alice.call("POST", "/api/v1/tasks", '{"title": ""}'), 422, "validation_error"),
        (alice.call("POST", "/api/v1/tasks", "{"), 400, "malformed_json"),
    ]:
        assert (answer["status"], answer["body"]["code"]) == (status, code)
        assert answer["headers"]["x-request-id"] == answer["body"]["request_id"]


def test_a_listed_page_can_read_retry_after(page: Page, site: Site, log: BrowserLog) -> None:
    """A deployment with an unreachable key set."""
    settings = Settings(
        _env_file=None,
        database_url="postgresql://nobody@127.0.0.1:1/none",
        better_auth_url="http://127.0.0.1:1",
        cors_origins=(site.listed,),
    )
    with served(create_app(settings)) as url:
        answer = Frontend(page, url, Signer().token("alice")).call("GET", "/api/v1/tasks")
    assert (answer["status"], answer["body"]["code"]) == (503, "auth_unavailable")
    assert int(answer["headers"]["retry-after"]) >= 1
    assert len(log.taken("503")) == 1


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unlisted_page_can_read_and_change_nothing(
    context: BrowserContext, site: Site, dev: Development, log: BrowserLog, method: str
) -> None:
    page = context.new_page()
    page.goto(site.unlisted)
    outcome = page.evaluate(
        """async ([url, method, token]) => {
            const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
            const body = method === "POST" ? '{"title": "Not to be"}' : undefined;
            return fetch(url, { method, headers, body }).then(() => "read", (error) => error.name);
        }""",
        [f"{dev.url}/api/v1/tasks", method, dev.token],
    )
    assert outcome == "TypeError"
    assert log.taken("has been blocked by CORS policy")
    log.taken("net::ERR_FAILED")
    page.goto(site.listed)
    titles = Frontend(page, dev.url, dev.token).call("GET", "/api/v1/tasks?limit=100")["body"][
        "items"
    ]
    assert "Not to be" not in {task["title"] for task in titles}
