"""When a token counts: the rules of design section 2 on top of PyJWT (RFC 7519, 8725, 9068).

PyJWT does the cryptography and compares issuer, audience and times. What it takes on trust is
refused here: size, form and header before a key is asked for; JSON that two readers could read
differently and times that are no numbers before it compares; too long a life, another purpose and
a subject that is no name after.

Better Auth signs access tokens and ID tokens for clients with the keys of its users' tokens, and a
client may ask for our audience. Such tokens are known by their type and their claims (FR-017).
"""

import base64
import logging
import math
import re
import unicodedata
from typing import Any

import jwt
from jwt import PyJWK

from tasks_backend.auth.key_set import KeySet
from tasks_backend.auth.keys import KEY_ID
from tasks_backend.errors import ExpiredToken, InvalidToken
from tasks_backend.http import strict_json

logger = logging.getLogger("tasks_backend.auth")

LEEWAY = 10  # seconds that two servers' clocks may differ by
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_SUBJECT = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,255}")
_TYPE = "jwt"
ACCESS_TOKEN_CLAIMS = frozenset({"cnf", "client_id", "azp", "scope", "scp"})
"""Claims of a token that lets a client act for a user or for itself (RFC 9068, RFC 9449)."""
ID_TOKEN_CLAIMS = frozenset({"nonce", "at_hash", "c_hash", "acr", "amr", "auth_time"})
"""Claims of a token that tells a client who signed in (OpenID Connect Core, 2 and 3.3.2.11)."""
_CLIENT_CLAIMS = ACCESS_TOKEN_CLAIMS | ID_TOKEN_CLAIMS
_REFUSED_HEADERS = {"crit", "b64", "enc", "zip"}
_REQUIRED = ["exp", "iat", "sub", "iss", "aud"]
_TIMES = {"exp", "iat", "nbf"}
_LAST_SECOND = 253_402_300_799  # of the year 9999, a bound that neither infinity nor NaN keeps


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
        max_lifetime: float,
    ) -> None:
        if not issuer or not audience:  # PyJWT would take an empty one as leave not to check
            raise ValueError("issuer and audience must not be empty")
        self._key_set = key_set
        self._issuer = issuer
        self._audience = audience
        self._algorithms = algorithms
        self._max_bytes = max_bytes
        self._max_lifetime = max_lifetime
        self._jwt = _StrictJWT()

    async def subject(self, token: str, *, deadline: float = math.inf) -> str:
        """Return the user's id. Raises InvalidToken, ExpiredToken or AuthUnavailable (FR-009).

        `deadline` is on the loop's clock; only a key that is not yet known is ever waited for.
        """
        if len(token) > self._max_bytes or not _COMPACT.fullmatch(token):
            raise InvalidToken
        key = await self._key_set.key(self._key_id(token.partition(".")[0]), deadline)
        claims = self._claims(token, key)
        if claims["exp"] - claims["iat"] > self._max_lifetime:
            raise InvalidToken
        if not _CLIENT_CLAIMS.isdisjoint(claims):
            raise InvalidToken
        subject: str = claims["sub"]
        if not _SUBJECT.fullmatch(subject) or not is_visible(subject):
            raise InvalidToken
        return subject

    def _key_id(self, segment: str) -> str:
        """Return the id of the key that signed, if the header is one that can count.

        Embedded keys and addresses of keys are never looked at.
        """
        try:
            header = _json_object(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
        except ValueError:
            raise InvalidToken from None
        if _REFUSED_HEADERS & header.keys():
            raise InvalidToken
        kid, typ = header.get("kid"), header.get("typ", "JWT")
        if header.get("alg") not in self._algorithms:
            raise InvalidToken
        if not isinstance(kid, str) or not KEY_ID.fullmatch(kid):
            raise InvalidToken
        if not isinstance(typ, str) or typ.lower() != _TYPE:
            raise InvalidToken
        return kid

    def _claims(self, token: str, key: PyJWK) -> dict[str, Any]:
        try:
            return self._jwt.decode(
                token,
                key,  # the PyJWK, never its .key: so the header's algorithm must be the key's
                algorithms=[key.algorithm_name],
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY,
                options={"require": _REQUIRED, "enforce_minimum_key_length": True},
            )
        except jwt.ExpiredSignatureError:
            raise ExpiredToken from None
        except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError):
            # The id may be another key's now: ids begin anew with a new database of Better Auth's.
            self._key_set.refresh()
            raise InvalidToken from None
        except jwt.PyJWTError:
            raise InvalidToken from None
        except Exception as error:  # noqa: BLE001 - a token must not be able to crash its check
            logger.warning("a token broke its verification: %s", type(error).__name__)
            raise InvalidToken from None


def is_visible(subject: str) -> bool:
    """Tell whether a subject has a visible character, and no white space at either end.

    Beside a visible character, format characters are as good as any others: subjects are compared
    exactly, so two that look alike are two users.
    """
    return subject == subject.strip() and any(
        not character.isspace() and unicodedata.category(character) != "Cf" for character in subject
    )


class _StrictJWT(jwt.PyJWT):
    """PyJWT, but comparing only claims that can be read in one way and times that are numbers."""

    def _decode_payload(self, decoded: dict[str, Any]) -> dict[str, Any]:
        """Read the payload in the place of PyJWT, which offers this method for it."""
        try:
            claims = _json_object(decoded["payload"])
        except ValueError as error:
            raise jwt.DecodeError from error
        for name in _TIMES & claims.keys():
            # To Python a boolean is a number, too; so the types are meant exactly.
            if type(claims[name]) not in {int, float} or not 0 <= claims[name] <= _LAST_SECOND:
                raise jwt.DecodeError
        return claims


def _json_object(text: bytes) -> dict[str, Any]:
    """Return a JSON object of which there is one reading. Raises ValueError."""
    value = strict_json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("no object")  # noqa: TRY004 - what else is wrong with a text is a ValueError
    return value
