import pytest
from tasks_backend_labels import plugin

from tasks_backend import Plugin
from tasks_backend.testing import Contract, User

pytest_plugins = ["tasks_backend.testing"]


@pytest.fixture(scope="session")
def plugins() -> list[Plugin]:
    return [plugin]


def test_every_route_holds_the_contract(contract: Contract) -> None:
    contract.assert_isolation()
    contract.assert_order_of_checks()


def test_a_label_is_on_a_task_once(alice: User) -> None:
    path = f"/api/v1/tasks/{alice.create()['id']}/labels"
    for _ in range(2):
        assert alice.client.put(f"{path}/urgent").status_code == 204
    assert alice.client.get(path).json() == {"items": ["urgent"]}
