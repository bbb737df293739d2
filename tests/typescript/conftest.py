"""A real Better Auth and the real service, as in tests/better_auth, and a Next.js app."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from better_auth.conftest import _title, deployment, migrated, owner, say, template
from better_auth.log import tell
from better_auth.people import People
from browser.conftest import chromium
from support.documents import document
from support.node import NPM_TIMEOUT, installed

from tasks_backend.testing.databases import Cluster
from typescript.project import NEXT, Project, lay_out
from typescript.website import BUILD_TIMEOUT, Website, website_of

__all__ = ["_title", "chromium", "deployment", "owner", "say", "template"]

GENERATOR_TIMEOUT = 120  # seconds
TEST_TIMEOUT = NPM_TIMEOUT + GENERATOR_TIMEOUT + BUILD_TIMEOUT + 300  # the first test waits


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(TEST_TIMEOUT))


@pytest.fixture(scope="session")
def openapi() -> dict[str, Any]:
    """The service's document."""
    return dict(document())


@pytest.fixture(scope="session")
def project(openapi: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The app, with installed packages and the generated client."""
    directory = tmp_path_factory.mktemp("next")
    started = time.monotonic()
    installed(NEXT / "package.json", directory)
    ready = time.monotonic()
    project = lay_out(directory)
    assert project.generate(openapi, timeout=GENERATOR_TIMEOUT)
    tell(
        f"\nNode.js {project.run('node', '--version', timeout=30).strip()};"
        f" npm install: {ready - started:.1f} s;"
        f" the client, generated: {time.monotonic() - ready:.1f} s"
    )
    return project


@pytest.fixture(scope="session")
def node(project: Project) -> Path:
    """The directory of the programs of tests/better_auth."""
    return project.programs


@pytest.fixture(scope="session")
def website(
    cluster: Cluster,
    owner: str,
    template: str,
    project: Project,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Website]:
    """The app, built and running; tests start the service."""
    logs = tmp_path_factory.mktemp("website")
    deployment = migrated(cluster, owner, template, project.programs, logs)
    with website_of(deployment, project) as website:
        yield website


@pytest.fixture(scope="session")
def people() -> Iterator[People]:
    """Users of the website."""
    with People() as people:
        yield people
