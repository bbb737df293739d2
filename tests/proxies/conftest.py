"""The service as processes, behind each proxy in turn."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from support.commands import serving
from support.markdown import Row
from support.programs import require

import tasks_backend
from proxies.every import EVERY
from proxies.kinds import PREFIX
from proxies.people import Person, Victim
from proxies.report import written
from proxies.running import Running, Services, running_proxy
from tasks_backend.testing.signing import Signer

ORIGIN = "https://app.example.com"
TEST_TIMEOUT = 300  # seconds, on a busy machine
_REPORT = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--proxies-report", type=Path, help="a file for the report")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(TEST_TIMEOUT))


@pytest.fixture(scope="session")
def services(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Services]:
    """The service, and one with `--root-path` for a proxy that strips a path."""
    variables = {
        **environment,
        "CORS_ORIGINS": ORIGIN,
        "LOG_LEVEL": "warning",
        "PYTHONPATH": str(Path(tasks_backend.__file__).parents[1]),  # what these tests import
    }
    homes = [tmp_path_factory.mktemp("service") for _ in range(2)]
    with (
        serving(homes[0], **variables) as plain,
        serving(homes[1], "--root-path", PREFIX, **variables) as prefixed,
    ):
        yield Services(urlsplit(plain).port or 0, urlsplit(prefixed).port or 0)


@pytest.fixture(scope="session", params=EVERY, ids=lambda kind: kind.name)
def running(
    request: pytest.FixtureRequest, services: Services, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """One proxy in front of the service."""
    require("nginx", "caddy", "haproxy", "apache2", "curl")
    with running_proxy(request.param, tmp_path_factory.mktemp("proxy"), services) as running:
        yield running


@pytest.fixture
def user(signer: Signer) -> Person:
    """A new user with a token."""
    sub = secrets.token_hex(16)
    return Person(sub, signer.token(sub))


@pytest.fixture
def victim(signer: Signer, services: Services) -> Victim:
    sub = secrets.token_hex(16)
    return Victim(sub, signer.token(sub), services.plain)


@pytest.fixture
def client(running: Running, user: Person) -> Iterator[httpx2.Client]:
    """A client of the proxy that sends a token."""
    headers = {"Authorization": f"Bearer {user.token}"}
    with httpx2.Client(base_url=running.url, headers=headers, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> Iterator[list[Row]]:
    """Rows of the report: shown after the run, and written to the file of an option."""
    rows: list[Row] = []
    yield rows
    text = written(rows)
    pytestconfig.stash[_REPORT] = text
    if (path := pytestconfig.getoption("proxies_report")) is not None:
        path.write_text(f"{text}\n")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if text := config.stash.get(_REPORT, ""):
        terminalreporter.section("proxies")
        terminalreporter.write_line(text)
