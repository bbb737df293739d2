"""The settings of the service, and of its peers, as variables of their environment."""

from tasks_backend.testing.signing import AUDIENCE, ISSUER


def environment(database: str, key_set: str) -> dict[str, str]:
    return {
        "DATABASE_URL": database,
        "JWT_ISSUER": ISSUER,
        "JWT_AUDIENCE": AUDIENCE,
        "JWKS_URL": key_set,
        "MAX_TASKS_PER_USER": "0",  # some users of the lab have 100,000
    }
