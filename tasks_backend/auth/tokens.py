"""When a token counts: the rules of design section 2 on top of PyJWT (RFC 7519, 8725, 9068).

PyJWT does the cryptography and compares issuer, audience and times. It takes on trust what this
module refuses first or afterwards: size and form, header members, claims of the wrong type.
"""

import base64
import json
import logging
import re
import unicodedata
from typing import Any

import jwt
from jwt import PyJWK

from tasks_backend.auth.key_set import KeySet
from tasks_backend.errors import ExpiredToken, InvalidToken

logger = logging.getLogger("tasks_backend.auth")

LEEWAY = 10  # seconds that two servers' clocks may differ by
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
_KEY_ID = re.compile(r"[\x20-\x7e]{1,128}")
_TYPES = {"jwt", "at+jwt"}
_REFUSED_HEADERS = {"crit", "b64", "enc", "zip"}
_REQUIRED = ["exp", "iat", "sub", "iss", "aud"]
_MAX_SUBJECT = 255


class TokenVerifier:
    """Tells who a token speaks for. Every call verifies anew: no verdict is kept (FR-008)."""

    def __init__(
        self,
        key_set: KeySet,
        *,
        issuer: str,
        audience: str,
        algorithms: tuple[str, ...],
        max_bytes: int,
    ) -> None:
        if not issuer or not audience:  # PyJWT would take an empty one as leave not to check
            raise ValueError("issuer and audience must not be empty")
        self._key_set = key_set
        self._issuer = issuer
        self._audience = audience
        self._algorithms = algorithms
        self._max_bytes = max_bytes

    async def subject(self, token: str) -> str:
        """Return the user's id. Raises InvalidToken, ExpiredToken or AuthUnavailable (FR-009)."""
        if len(token) > self._max_bytes or not _COMPACT.fullmatch(token):
            raise InvalidToken
        algorithm, kid = self._header(token.partition(".")[0])
        claims = self._claims(token, algorithm, await self._key_set.key(kid))
        return _subject(claims)

    def _header(self, segment: str) -> tuple[str, str]:
        """Return algorithm and key id. Embedded keys and addresses of keys are never looked at."""
        try:
            header = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
        except (ValueError, RecursionError):
            raise InvalidToken from None
        if not isinstance(header, dict) or _REFUSED_HEADERS & header.keys():
            raise InvalidToken
        algorithm, kid, typ = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise InvalidToken
        if not isinstance(kid, str) or not _KEY_ID.fullmatch(kid):
            raise InvalidToken
        if not isinstance(typ, str) or typ.lower() not in _TYPES:
            raise InvalidToken
        return algorithm, kid

    def _claims(self, token: str, algorithm: str, key: PyJWK) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,  # the PyJWK, never its .key: so the algorithm is bound to the key
                algorithms=[algorithm],
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY,
                options={"require": _REQUIRED, "enforce_minimum_key_length": True},
            )
        except jwt.ExpiredSignatureError:
            raise ExpiredToken from None
        except jwt.PyJWTError:
            raise InvalidToken from None
        except Exception as error:  # noqa: BLE001 - a token must not be able to crash its check
            logger.warning("a token broke its verification: %s", type(error).__name__)
            raise InvalidToken from None
        return claims


def _subject(claims: dict[str, Any]) -> str:
    for name in ("exp", "iat", "nbf"):
        value = claims.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidToken
    subject = claims["sub"]
    if not isinstance(subject, str) or not 1 <= len(subject) <= _MAX_SUBJECT:
        raise InvalidToken
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in subject):
        raise InvalidToken
    return subject
