"""The environment of `tasks-backend serve`, without the database."""

import pytest
from support.key_server import KeyServer
from support.signing import AUDIENCE, ISSUER


@pytest.fixture
def environment(key_server: KeyServer) -> dict[str, str]:
    return {"JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE, "JWKS_URL": key_server.url}
