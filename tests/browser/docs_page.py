"""The documentation page, used through its visible elements."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

Seen = dict[str, set[int]]


@dataclass(frozen=True)
class Answer:
    """A response as shown on the page."""

    status: int
    body: Any
    headers: str


class DocsPage:
    """One window. `run` records in `seen` the status of each operation."""

    def __init__(self, page: Page, url: str, seen: Seen, screenshots: Path) -> None:
        self.page = page
        self.url = url
        self._seen = seen
        self._screenshots = screenshots

    def open(self, fragment: str = "") -> None:
        self.page.goto(f"{self.url}/docs{fragment}")
        self.page.locator(".opblock").first.wait_for()

    def operations(self) -> list[str]:
        """The ids of all operations on the page, in its order."""
        ids = [str(block.get_attribute("id")) for block in self.page.locator(".opblock").all()]
        return [name.split("-", 2)[2] for name in ids]

    def block(self, operation: str) -> Locator:
        return self.page.locator(f"[id^='operations-'][id$='-{operation}']")

    def run(self, operation: str, body: object = None, **parameters: str) -> Answer:
        """Fill in the form, press Execute and read the response."""
        block = self.block(operation)
        if "is-open" not in str(block.get_attribute("class")):
            block.locator(".opblock-summary-control").click()
        for name, value in parameters.items():
            row = block.locator(
                f"tr[data-param-name='{name.replace('_', '-')}'], [data-param-name='{name}']"
            )
            if (choice := row.locator("select")).count():
                choice.select_option(value)
            else:
                row.locator("input").fill(value)
        if body is not None:
            text = body if isinstance(body, str) else json.dumps(body)
            block.locator("textarea.body-param__text").fill(text)
        if (clear := block.locator("button.btn-clear")).is_visible():
            clear.click()
            block.locator(".live-responses-table").wait_for(state="detached")
        block.locator("button.execute").click()
        answer = self._answer(block.locator(".live-responses-table tbody tr.response"))
        self._seen[operation].add(answer.status)
        return answer

    def _answer(self, row: Locator) -> Answer:
        status = row.locator(".response-col_status").inner_text().split()[0]
        body = row.locator(".response-col_description .highlight-code code")
        shown = body.first.inner_text() if body.count() else "null"
        headers = row.locator(".headerline").all_inner_texts()
        if int(status) < 400:
            expect(row.get_by_text("Request duration")).to_be_visible()
        return Answer(int(status), json.loads(shown), "\n".join(headers))

    def become(self, user: str) -> None:
        """Choose the user of the requests; an empty name means no user."""
        self.page.get_by_label("Try it as").select_option(user)
        lock = "locked" if user else "unlocked"
        self.page.locator(f"button.authorize.{lock}").wait_for()

    def paste(self, token: str) -> None:
        """Authorise with the dialog, as on a page that offers no token."""
        self.page.get_by_role("button", name="Authorize").click()
        dialog = self.page.locator(".dialog-ux")
        dialog.get_by_role("button", name="Close").first.wait_for()
        if (logout := dialog.get_by_text("Logout")).is_visible():
            logout.click()
        dialog.locator("input").fill(token)
        dialog.get_by_role("button", name="Apply credentials").click()
        dialog.get_by_role("button", name="Close").first.click()

    def keep(self, name: str, *, whole: bool = True) -> None:
        """Save a screenshot of the whole page or of the visible part."""
        self.page.screenshot(path=self._screenshots / f"{name}.png", full_page=whole)
