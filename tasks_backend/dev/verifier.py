"""Verification of tokens in `dev`: its own tokens, and those of the developer's Better Auth."""

import math

from jwt import PyJWK

from tasks_backend.auth.key_set import UNKNOWN_KEY
from tasks_backend.auth.tokens import TokenVerifier
from tasks_backend.dev.issuer import ALGORITHM, ORIGIN
from tasks_backend.dev.settings import DevelopmentSettings
from tasks_backend.errors import InvalidToken


class UnknownKey(InvalidToken):
    """The token is signed with another key than the development issuer's."""


class OwnKey:
    """The key of the development issuer, in place of a key set."""

    def __init__(self, key: PyJWK) -> None:
        self._key = key

    async def key(self, kid: str, deadline: float = math.inf) -> PyJWK:  # noqa: ARG002 - like KeySet
        """Return the key with this id. Raises UnknownKey."""
        if kid != self._key.key_id:
            raise UnknownKey(UNKNOWN_KEY)
        return self._key

    def refresh(self) -> None:
        """Do nothing: the key never changes."""


class DevelopmentVerifier:
    """Verifies development tokens with their key, and all others like `serve`."""

    def __init__(
        self, key: PyJWK, settings: DevelopmentSettings, better_auth: TokenVerifier
    ) -> None:
        self._better_auth = better_auth if settings.has_better_auth else None
        self._own = TokenVerifier(
            OwnKey(key),
            issuer=ORIGIN,
            audience=ORIGIN,
            algorithms=(ALGORITHM, *settings.jwt_algorithms),
            max_bytes=settings.jwt_max_bytes,
            max_lifetime=settings.jwt_max_lifetime,
        )

    async def subject(self, token: str, *, deadline: float = math.inf) -> str:
        """Return the user's id. Raises InvalidToken, ExpiredToken or AuthUnavailable."""
        try:
            return await self._own.subject(token, deadline=deadline)
        except UnknownKey:
            if self._better_auth is None:
                raise
        return await self._better_auth.subject(token, deadline=deadline)
