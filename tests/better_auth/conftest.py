"""A real Better Auth and the real service on one database. With -s, the steps are printed."""

import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlencode

import pytest
from psycopg2.extensions import parse_dsn
from support.programs import output, require

from better_auth.documented import add_version, write_options
from better_auth.log import Say, tell
from better_auth.measuring import Measured
from better_auth.people import People
from better_auth.programs import Deployment, free_port, npm_install
from tasks_backend.testing.databases import NEON_OWNER, Cluster

NPM_TIMEOUT = 300  # seconds
VERSIONS = pytest.StashKey[Mapping[str, str]]()
TEST_TIMEOUT = NPM_TIMEOUT + 120  # the first test waits for the installation


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--better-auth", metavar="VERSION", help="in the place of package.json's")
    parser.addoption(
        "--write-version", action="store_true", help="add it to docs/auth.md if all tests pass"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(TEST_TIMEOUT))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    if reporter is None or exitstatus != pytest.ExitCode.OK:  # pytest-xdist's processes have none
        return
    outcomes = reporter.stats
    properties = [dict(report.user_properties) for report in outcomes.get("passed", [])]
    if measured := [Measured(**each["measured"]) for each in properties if "measured" in each]:
        write_options(measured)
    if session.config.getoption("write_version"):
        skipped = [report.longrepr[2] for report in outcomes.get("skipped", [])]
        add_version(session.config.stash[VERSIONS], len(outcomes["passed"]), skipped)


@pytest.fixture(scope="session")
def node(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the Node programs and their packages."""
    require("node", "npm")
    directory = tmp_path_factory.mktemp("node")
    started = time.monotonic()
    wanted = pytestconfig.getoption("better_auth")
    versions = npm_install(directory, Path(__file__).parent, wanted, timeout=NPM_TIMEOUT)
    versions["node"] = output("node", "--version").strip().removeprefix("v")
    pytestconfig.stash[VERSIONS] = versions
    shown = ", ".join(f"{name} {version}" for name, version in versions.items())
    tell(f"\n{shown}; npm install: {time.monotonic() - started:.1f} s")
    return directory


@pytest.fixture(scope="session")
def version(pytestconfig: pytest.Config, node: Path) -> tuple[int, ...]:
    """Better Auth's."""
    return tuple(int(number) for number in pytestconfig.stash[VERSIONS]["better-auth"].split("."))


@pytest.fixture(scope="session")
def owner(cluster: Cluster) -> str:
    """A login like Neon's that owns the databases of all deployments."""
    return cluster.login(NEON_OWNER)


@pytest.fixture
def empty(cluster: Cluster, owner: str, node: Path, tmp_path: Path) -> Deployment:
    """A deployment with an empty database."""
    _, url = cluster.database(owner)
    return _deployment(url, node, tmp_path)


@pytest.fixture(scope="session")
def template(
    cluster: Cluster, owner: str, node: Path, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The name of a database migrated by both programs."""
    name, url = cluster.database(owner)
    first = _deployment(url, node, tmp_path_factory.mktemp("template"))
    first.run("node", "driver/migrate.mjs")
    first.run("tasks-backend", "migrate")
    return name


@pytest.fixture
def deployment(
    cluster: Cluster, owner: str, template: str, node: Path, tmp_path: Path
) -> Deployment:
    """A migrated, unused deployment."""
    return migrated(cluster, owner, template, node, tmp_path)


@pytest.fixture
def people() -> Iterator[People]:
    with People() as people:
        yield people


@pytest.fixture
def say() -> Say:
    """Print a finished step and its result."""
    started = time.monotonic()

    def line(outcome: str) -> None:
        tell(f"  {time.monotonic() - started:5.1f} s  {outcome}")

    return line


@pytest.fixture(autouse=True)
def _title(request: pytest.FixtureRequest) -> None:
    name = request.node.originalname.removeprefix("test_").replace("_", " ")
    tell(f"\n\n{name.capitalize()}{request.node.name.removeprefix(request.node.originalname)}")


def migrated(cluster: Cluster, owner: str, template: str, node: Path, logs: Path) -> Deployment:
    """A deployment on a copy of the migrated database."""
    name = f"{template}_{secrets.token_hex(4)}"
    copy = f"TEMPLATE {template} STRATEGY FILE_COPY"  # nothing left to write at the stop
    with cluster.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} OWNER {owner} {copy}")
    return _deployment(cluster.url_of(name, owner), node, logs)


def _deployment(dsn: str, node: Path, logs: Path) -> Deployment:
    """A deployment on this database; Node's driver supports only URLs, so both programs get one."""
    known = parse_dsn(dsn)
    user, name = known.pop("user"), known.pop("dbname")
    url = f"postgresql://{user}@/{name}?{urlencode(known)}"
    return Deployment(node, logs, url, auth_port=free_port(), api_port=free_port())
