"""`/docs` in a browser: everything works, without errors and without requests to other hosts."""

import re

import httpx2
import pytest
from playwright.sync_api import expect

from browser.docs_page import DocsPage
from browser.log import BrowserLog
from browser.programs import Development

CREATE, LIST, PATCH_ALL, DELETE_ALL, GET, PATCH, PUT, TOGGLE, DELETE = (
    f"tasks_v1_{name}"
    for name in (
        "create_task",
        "list_tasks",
        "patch_tasks",
        "delete_tasks",
        "get_task",
        "patch_task",
        "replace_task",
        "toggle_task",
        "delete_task",
    )
)
EVERY = [CREATE, LIST, PATCH_ALL, DELETE_ALL, GET, PATCH, PUT, DELETE, TOGGLE, "livez", "readyz"]
NOBODYS = "01900000-0000-7000-8000-000000000000"


def test_every_operation_can_be_tried_without_pasting_anything(
    docs: DocsPage, dev: Development, log: BrowserLog
) -> None:
    """The page has the token, and fills the id of the created task into the other forms."""
    document = httpx2.get(f"{dev.url}/openapi.json", timeout=30).json()
    documented = [
        operation["operationId"]
        for path in document["paths"].values()
        for operation in path.values()
    ]
    assert docs.operations() == EVERY
    assert sorted(documented) == sorted(EVERY)
    docs.keep("1-page")

    created = docs.run(CREATE)
    docs.keep("2-created")
    assert (created.status, created.body["title"]) == (201, "Buy milk")
    task = created.body["id"]
    assert created.body["user_id"] == "alice"
    assert 'etag: "1"' in created.headers
    assert f"location: /api/v1/tasks/{task}" in created.headers

    listed = docs.run(LIST, limit="1")
    assert (listed.status, listed.body["items"][0]["id"]) == (200, task)
    assert (docs.run(GET).status, docs.run(GET).body["id"]) == (200, task)
    changed = docs.run(PATCH, {"title": "Buy oat milk"})
    assert (changed.status, changed.body["title"]) == (200, "Buy oat milk")
    replaced = docs.run(PUT, {"title": "Tea", "description": None, "completed": False})
    assert (replaced.status, replaced.body["title"]) == (200, "Tea")
    toggled = docs.run(TOGGLE)
    assert (toggled.status, toggled.body["completed"]) == (200, True)
    deleted = docs.run(DELETE)
    assert (deleted.status, deleted.body) == (204, None)
    docs.run(CREATE)
    found = docs.run(LIST, q="MILK", count="true", completed="false")
    assert (found.status, found.body["total"]) == (200, 1)
    completed = docs.run(PATCH_ALL, {"completed": True}, completed="false", q="milk")
    assert (completed.status, completed.body) == (200, {"updated": 1})
    cleared = docs.run(DELETE_ALL, completed="true", q="milk")
    assert (cleared.status, cleared.body) == (200, {"deleted": 1})
    assert docs.run("livez").body == {"status": "alive"}
    assert docs.run("readyz").status == 200
    docs.keep("3-all-run")
    assert log.origins == {dev.url}


def test_failures_are_shown_unchanged(docs: DocsPage) -> None:
    task = docs.run(CREATE).body["id"]
    assert docs.run(CREATE, {"title": ""}).status == 422
    assert docs.run(CREATE, "{").body["code"] == "malformed_json"
    assert docs.run(LIST, cursor="x").body["code"] == "invalid_cursor"
    assert docs.run(PATCH, {"title": "x"}, If_Match='"7"').body["code"] == "version_mismatch"
    assert docs.run(GET, task_id=NOBODYS).body["code"] == "task_not_found"
    docs.become("bob")
    docs.keep("4-as-bob")
    for operation in (PATCH, PUT, TOGGLE, DELETE):
        answer = docs.run(
            operation, task_id=task, **({"If_Match": ""} if operation == PATCH else {})
        )
        assert (answer.status, answer.body["code"]) == (403, "task_forbidden"), operation
    assert docs.run(GET, task_id=task).status == 404


def test_without_a_token_every_protected_operation_is_a_401(docs: DocsPage) -> None:
    docs.become("")
    of_all = {PATCH_ALL: {"completed": "true"}, DELETE_ALL: {"completed": "true"}}
    needed: dict[str, dict[str, str]] = {CREATE: {}, LIST: {}, **of_all}
    for operation in EVERY[:9]:
        answer = docs.run(operation, **needed.get(operation, {"task_id": NOBODYS}))
        assert (answer.status, answer.body["code"]) == (401, "missing_token"), operation
        assert 'www-authenticate: Bearer realm="tasks_backend"' in answer.headers
    docs.keep("5-no-token")
    assert docs.run("livez").status == 200


def test_a_token_can_be_pasted(docs: DocsPage, dev: Development) -> None:
    """The printed one, and an invalid one."""
    docs.paste(dev.token)
    expect(docs.page.get_by_label("Try it as")).to_have_value("own")
    assert docs.run(CREATE).body["user_id"] == "alice"
    docs.paste("ey.nonsense.x")
    assert docs.run(LIST).body["code"] == "invalid_token"
    docs.page.get_by_role("button", name="Authorize").click()
    docs.page.locator(".dialog-ux").wait_for()
    docs.keep("6-authorize", whole=False)


def test_reloading_keeps_the_user_and_no_token_is_stored(docs: DocsPage, dev: Development) -> None:
    docs.become("bob")
    docs.open()
    expect(docs.page.get_by_label("Try it as")).to_have_value("bob")
    assert docs.run(CREATE).body["user_id"] == "bob"
    docs.paste(dev.token)
    kept = docs.page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])")
    assert "bob" in kept
    assert not re.search(r"ey[\w-]+\.", kept)
    docs.become("")
    docs.open()
    expect(docs.page.get_by_label("Try it as")).to_have_value("")


def test_at_a_name_other_than_loopback_no_token_is_offered(docs: DocsPage, log: BrowserLog) -> None:
    """A DNS rebinding attack uses such a name."""
    docs.url = docs.url.replace("127.0.0.1", "rebound.localhost")
    docs.open()
    expect(docs.page.get_by_text("No token is offered at rebound.localhost")).to_be_visible()
    assert docs.run(LIST).status == 401
    assert len(log.taken("/docs/token?user=alice")) == 1


def test_documented_failures_open_one_by_one(docs: DocsPage) -> None:
    docs.run(LIST)
    rows = docs.block(LIST).locator(".responses-table:not(.live-responses-table) tr.response")
    example = rows.filter(has_text="The token has expired.").locator(".highlight-code")
    assert example.count() == 0
    docs.block(LIST).get_by_role("button", name="The token has expired.").press("Enter")
    expect(example).to_contain_text("missing_token")
    docs.keep("9-failures")


def test_an_address_opens_an_operation(docs: DocsPage, log: BrowserLog) -> None:
    docs.page.goto("about:blank")
    docs.open(f"#/tasks/{TOGGLE}")
    expect(docs.block(TOGGLE)).to_have_class(re.compile("is-open"))
    log.taken("escaping deep link whitespace")  # logged for any `_` in an address


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_the_page_fits_and_follows_the_system(docs: DocsPage, width: int, scheme: str) -> None:
    docs.page.set_viewport_size({"width": width, "height": 812})
    docs.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    docs.open()
    assert docs.run(CREATE).status == 201
    docs.keep(f"7-{scheme}-{width}")
    assert docs.page.evaluate("document.documentElement.scrollWidth") == width
    dark = re.compile("dark-mode")
    root = expect(docs.page.locator("html"))
    (root.to_have_class if scheme == "dark" else root.not_to_have_class)(dark)


def test_a_phone_shows_whole_forms_and_that_many_tasks_are_meant(docs: DocsPage) -> None:
    docs.page.set_viewport_size({"width": 390, "height": 844})
    docs.open()
    for operation, summary in (
        (PATCH_ALL, "Complete or reopen all selected tasks"),
        (DELETE_ALL, "Delete all selected tasks"),
    ):
        block = docs.block(operation)
        expect(block.locator(".opblock-summary-description")).to_have_text(summary)
        block.locator(".opblock-summary-control").click()
        block.locator("button.execute").wait_for()
        expect(block.locator(".opblock-description strong")).to_have_text("all")
        fields = block.locator(".parameters-col_description :is(input, select)").all()
        assert len(fields) == 3
        for field in fields:
            box = field.bounding_box()
            assert box is not None
            assert box["width"] > 300, "its placeholder and its value are readable"
            assert box["x"] + box["width"] < 390
    assert docs.page.evaluate("document.documentElement.scrollWidth") == 390
    assert docs.page.locator(".models .model-container").count() == 0, "the schemas are folded"
    docs.keep("8-phone")


def test_the_policy_is_enforced(docs: DocsPage, log: BrowserLog) -> None:
    """Injected scripts do not run, and injected requests are blocked."""
    ran = docs.page.evaluate(
        """async () => {
            const script = document.createElement("script");
            script.textContent = "window.smuggled = true";
            document.body.append(script);
            const image = new Image();
            image.src = "http://localhost:9/x.png";
            const asked = await fetch("http://localhost:9/").then(() => true, () => false);
            return [window.smuggled ?? false, asked];
        }"""
    )
    assert ran == [False, False]
    assert len(log.taken("Content Security Policy")) >= 3
