"""A real Chromium and a real `tasks-backend dev`. Prints the results; keeps screenshots."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright
from support.programs import executable, require

from browser.docs_page import DocsPage, Seen
from browser.log import BrowserLog
from browser.programs import Development, development
from browser.sites import Site

ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE *localhost, EXCLUDE 127.0.0.1",
]
PATIENCE = 30_000  # milliseconds
TEST_TIMEOUT = 400  # seconds
_SEEN = pytest.StashKey[Seen]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--screenshots", type=Path, default=None, help="a directory to keep screenshots in"
    )


def pytest_configure(config: pytest.Config) -> None:
    seen: Seen = defaultdict(set)
    config.stash[_SEEN] = seen


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(TEST_TIMEOUT))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    seen = terminalreporter.config.stash[_SEEN]
    terminalreporter.section("statuses seen in the browser")
    for operation, statuses in sorted(seen.items()):
        terminalreporter.line(f"{operation:28}{' '.join(map(str, sorted(statuses)))}")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, with a separate profile; nothing is downloaded."""
    require("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable("chromium"), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def log() -> BrowserLog:
    return BrowserLog()


@pytest.fixture
def context(chromium: Browser, log: BrowserLog) -> Iterator[BrowserContext]:
    """A new browser. Its errors fail the test, unless the test takes them."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE)
    log.watch(context)
    yield context
    context.close()
    assert log.complaints == []


@pytest.fixture
def docs(
    context: BrowserContext, dev: Development, screenshots: Path, request: pytest.FixtureRequest
) -> DocsPage:
    """The opened documentation page of `dev`."""
    page = DocsPage(context.new_page(), dev.url, request.config.stash[_SEEN], screenshots)
    page.open()
    return page


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """Pages of other origins: one that the API lists, and one that it does not."""
    with Site() as site:
        yield site


@pytest.fixture(scope="session")
def dev(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Development]:
    home = tmp_path_factory.mktemp("dev")
    with development(home, CORS_ORIGINS=site.listed) as running:
        yield running


@pytest.fixture(scope="session")
def screenshots(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory: Path = request.config.getoption("--screenshots") or tmp_path_factory.mktemp("shots")
    directory.mkdir(parents=True, exist_ok=True)
    return directory
