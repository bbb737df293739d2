"""What tests of a plugin, or of an application that embeds the service, need (extra `testing`).

`pytest_plugins = ["tasks_backend.testing"]` gives a test module or conftest.py the fixtures.
PYTEST_DONT_REWRITE: tests import this module before pytest does.
"""

from tasks_backend.testing.contract import Contract
from tasks_backend.testing.service import NewUser, User, problem, served
from tasks_backend.testing.signing import Signer
from tasks_backend.testing.waiting import until

__all__ = ["Contract", "NewUser", "Signer", "User", "problem", "served", "until"]

pytest_plugins = ["tasks_backend.testing.fixtures"]
