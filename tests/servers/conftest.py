"""The service under each server in turn."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

import tasks_backend
from servers.kinds import SERVERS, Kind
from servers.running import Running, served_by
from tasks_backend.testing.signing import Signer


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-servers", action="store_true", help="renew the table in docs/embedding.md"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One process of pytest-xdist runs all tests of a server, so that it is started once."""
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        if "kind" in parameters:
            item.add_marker(pytest.mark.xdist_group(parameters["kind"].name))


@pytest.fixture(autouse=True)
def _difference(request: pytest.FixtureRequest) -> None:
    """A check that is said not to hold must fail."""
    if "kind" in request.fixturenames:
        reason = request.getfixturevalue("kind").differs.get(request.function.__name__)
        if reason is not None:
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))


@pytest.fixture(scope="session")
def variables(environment: dict[str, str]) -> dict[str, str]:
    return {**environment, "PYTHONPATH": str(Path(tasks_backend.__file__).parents[1])}


@pytest.fixture(scope="session", params=SERVERS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen = request.param
    assert isinstance(chosen, Kind)
    return chosen


@pytest.fixture(scope="session")
def server(
    kind: Kind, variables: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """One server, shared by its tests."""
    with served_by(kind, tmp_path_factory.mktemp("server"), variables) as running:
        yield running


@pytest.fixture
def bearer(signer: Signer) -> str:
    """The `Authorization` of a new user."""
    return f"Bearer {signer.token(secrets.token_hex(16))}"
