"""What a browser complained about, and whom it talked to."""

import re
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage

_REFUSED = re.compile(r"Failed to load resource: the server responded with a status of 4\d\d")


class BrowserLog:
    """Collects console errors and warnings (violated policies are among them), uncaught errors,
    and the origins of all requests. A 4xx of the API is no complaint: tests ask for it.
    """

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self.origins: set[str] = set()

    def watch(self, context: BrowserContext) -> None:
        context.on("console", self._said)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("request", lambda request: self._asked(request.url))

    def taken(self, text: str) -> list[str]:
        """Remove and return the complaints that have this text: the test expected them."""
        found = [complaint for complaint in self.complaints if text in complaint]
        self.complaints = [complaint for complaint in self.complaints if text not in complaint]
        return found

    def _said(self, message: ConsoleMessage) -> None:
        if message.type not in {"error", "warning"}:
            return
        path = urlsplit(message.location["url"]).path
        if not (_REFUSED.match(message.text) and "/api/v1/" in path):
            self.complaints.append(f"{message.text} ({message.location['url']})")

    def _asked(self, url: str) -> None:
        address = urlsplit(url)
        if address.scheme not in {"data", "blob"}:  # never leave the browser
            self.origins.add(f"{address.scheme}://{address.netloc}")
