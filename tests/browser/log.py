"""The errors of a browser, and the origins it contacted."""

import re
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage

_REFUSED = re.compile(r"Failed to load resource: the server responded with a status of 4\d\d")


class BrowserLog:
    """Collects console errors and warnings (including policy violations), uncaught errors, and
    the origins of all requests. A 4xx of the API is not collected: tests provoke it.
    """

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self.origins: set[str] = set()

    def watch(self, context: BrowserContext) -> None:
        context.on("console", self._record_message)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("request", lambda request: self._record_request(request.url))

    def taken(self, text: str) -> list[str]:
        """Remove and return the errors with this text, which the test expected."""
        found = [complaint for complaint in self.complaints if text in complaint]
        self.complaints = [complaint for complaint in self.complaints if text not in complaint]
        return found

    def _record_message(self, message: ConsoleMessage) -> None:
        if message.type not in {"error", "warning"}:
            return
        path = urlsplit(message.location["url"]).path
        if not (_REFUSED.match(message.text) and "/api/v1/" in path):
            self.complaints.append(f"{message.text} ({message.location['url']})")

    def _record_request(self, url: str) -> None:
        address = urlsplit(url)
        if address.scheme not in {"data", "blob"}:  # stay inside the browser
            self.origins.add(f"{address.scheme}://{address.netloc}")
