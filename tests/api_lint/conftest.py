"""A longer timeout: the first test waits for the installation of the linters."""

from pathlib import Path

import pytest
from support.node import NPM_TIMEOUT


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(2 * NPM_TIMEOUT))
