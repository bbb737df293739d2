import pytest
from tasks_backend_preferences import plugin

from tasks_backend import Plugin
from tasks_backend.testing import Contract, User, problem

pytest_plugins = ["tasks_backend.testing"]
PATH = "/api/v1/preferences"


@pytest.fixture(scope="session")
def plugins() -> list[Plugin]:
    return [plugin]


def test_every_route_holds_the_contract(contract: Contract) -> None:
    contract.assert_isolation()
    contract.assert_order_of_checks()


def test_only_the_version_that_was_read_is_replaced(alice: User) -> None:
    etag = alice.client.put(PATH, json={"theme": "dark"}).headers["etag"]
    assert alice.client.get(PATH).json() == {"theme": "dark"}
    changed = alice.client.put(PATH, json={}, headers={"If-Match": etag})
    assert changed.status_code == 200
    stale = alice.client.put(PATH, json={}, headers={"If-Match": etag})
    problem(stale, 412, "version_mismatch")
