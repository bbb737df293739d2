"""Token verification: the rules of docs/auth.md on top of PyJWT (RFC 7519, 8725, 9068).

PyJWT verifies the signature and checks issuer, audience and times. This module adds checks:
- before the key is looked up: size, form and header;
- before PyJWT reads the claims: ambiguous JSON and times that are not numbers;
- after PyJWT: lifetime, purpose and subject.

Better Auth signs its users' tokens and the access and ID tokens of OAuth clients with the same keys,
and a client may request our audience. Type and claims tell such tokens apart (FR-017).
"""

import base64
import logging
import math
import re
import unicodedata
from typing import Any, Protocol, TypeGuard

import jwt
from jwt import PyJWK

from tasks_backend.auth.clock import LEEWAY
from tasks_backend.auth.keys import KEY_ID
from tasks_backend.compatibility import IncompatibleLibrary, overrides, require_attributes
from tasks_backend.errors import ExpiredToken, InvalidToken
from tasks_backend.http import strict_json

logger = logging.getLogger("tasks_backend.auth")

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_SUBJECT = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,255}")
_TYPE = "jwt"
ACCESS_TOKEN_CLAIMS = frozenset({"cnf", "client_id", "azp", "scope", "scp"})
"""Claims of a token that lets a client act for a user or for itself (RFC 9068, RFC 9449)."""
ID_TOKEN_CLAIMS = frozenset({"nonce", "at_hash", "c_hash", "acr", "amr", "auth_time"})
"""Claims of a token that tells a client who signed in (OpenID Connect Core, 2 and 3.3.2.11)."""
_CLIENT_CLAIMS = ACCESS_TOKEN_CLAIMS | ID_TOKEN_CLAIMS
REFUSED_HEADERS = frozenset({"crit", "b64", "enc", "zip"})
_REQUIRED = ["exp", "iat", "sub", "iss", "aud"]
_TIMES = {"exp", "iat", "nbf"}
_REASONS: dict[type[Exception], str] = {
    jwt.InvalidIssuerError: "issuer",
    jwt.InvalidAudienceError: "audience",
    jwt.ImmatureSignatureError: "not yet valid",
    jwt.MissingRequiredClaimError: "missing claim",
}
"""What the log says of PyJWT's refusals; of all others, `claims`."""
MAX_TIME = 253_402_300_799  # end of the year 9999; the limit also rejects Infinity and NaN


class Keys(Protocol):
    """The keys of the tokens' issuer, normally a KeySet."""

    async def key(self, kid: str, deadline: float) -> PyJWK:
        """Return the key with this id. Raises InvalidToken or AuthUnavailable."""

    def refresh(self) -> None:
        """Fetch the keys in the background."""


class TokenVerifier:
    """Verifies tokens. Results are not cached: every call verifies again (FR-008)."""

    def __init__(
        self,
        key_set: Keys,
        *,
        issuer: str,
        audience: str,
        algorithms: tuple[str, ...],
        max_bytes: int,
        max_lifetime: float,
    ) -> None:
        if not issuer or not audience:  # PyJWT does not check an empty value
            raise ValueError("issuer and audience must not be empty")
        self._key_set = key_set
        self._issuer = issuer
        self._audience = audience
        self._algorithms = algorithms
        self._max_bytes = max_bytes
        self._max_lifetime = max_lifetime
        self._jwt = StrictJWT()

    async def subject(self, token: str, *, deadline: float = math.inf) -> str:
        """Return the user's id. Raises InvalidToken, ExpiredToken or AuthUnavailable (FR-009).

        `deadline` is on the event loop's clock; it limits the wait for the key.
        """
        if len(token) > self._max_bytes or not _COMPACT.fullmatch(token):
            raise InvalidToken("form")
        key = await self._key_set.key(self._key_id(token.partition(".")[0]), deadline)
        claims = self._claims(token, key)
        if claims["exp"] - claims["iat"] > self._max_lifetime:
            raise InvalidToken("lifetime")
        if not _CLIENT_CLAIMS.isdisjoint(claims):
            raise InvalidToken("purpose")
        subject: str = claims["sub"]
        if not is_subject(subject):
            raise InvalidToken("subject")
        return subject

    def _key_id(self, segment: str) -> str:
        """Return the key id of a valid header. Raises InvalidToken.

        Embedded keys and key URLs are ignored.
        """
        try:
            header = _json_object(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
        except ValueError:
            raise InvalidToken("header") from None
        if REFUSED_HEADERS & header.keys():
            raise InvalidToken("header")
        kid, typ = header.get("kid"), header.get("typ", "JWT")
        if header.get("alg") not in self._algorithms:
            raise InvalidToken("algorithm")
        if not isinstance(kid, str) or not KEY_ID.fullmatch(kid):
            raise InvalidToken("key id")
        if not isinstance(typ, str) or typ.lower() != _TYPE:
            raise InvalidToken("type")
        return kid

    def _claims(self, token: str, key: PyJWK) -> dict[str, Any]:
        try:
            return self._jwt.decode(
                token,
                key,  # not its .key: with a PyJWK, PyJWT requires the key's algorithm
                algorithms=[key.algorithm_name],
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY,
                options={"require": _REQUIRED, "enforce_minimum_key_length": True},
            )
        except jwt.ExpiredSignatureError:
            raise ExpiredToken from None
        except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError):
            # The id may now mean another key: a new Better Auth database starts its ids again.
            self._key_set.refresh()
            raise InvalidToken("signature") from None
        except jwt.PyJWTError as error:
            raise InvalidToken(_REASONS.get(type(error), "claims")) from None
        except Exception as error:  # noqa: BLE001 - no token may cause a 500
            logger.warning("unexpected error while verifying a token: %s", type(error).__name__)
            raise InvalidToken("claims") from None


def is_time(value: object) -> TypeGuard[float]:
    """Return whether a claim is a number of seconds since 1970."""
    # Exact types, because a Python bool is an int.
    return type(value) in {int, float} and 0 <= value <= MAX_TIME  # type: ignore[operator] # mypy does not follow the types


def is_subject(text: str) -> bool:
    """Return whether a token may have this subject."""
    return _SUBJECT.fullmatch(text) is not None and is_visible(text)


def is_visible(subject: str) -> bool:
    """Return whether a subject has a visible character, and no white space at either end.

    Format characters are allowed beside a visible one: subjects are compared exactly, so two that
    look alike are two users.
    """
    return subject == subject.strip() and any(
        not character.isspace() and unicodedata.category(character) != "Cf" for character in subject
    )


@overrides("pyjwt", jwt.PyJWS, "_decode_base64url_segment")
class CompactJWS(jwt.PyJWS):
    """PyJWS that decodes segments in C. PyJWT's own loop over each character takes 36 of 450 µs."""

    @staticmethod
    def _decode_base64url_segment(segment: bytes, name: str) -> bytes:
        """Return the only bytes with this encoding. Raises DecodeError, also for padding (RFC 7515, 2)."""
        try:
            decoded = base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
        except ValueError as error:
            raise jwt.DecodeError(name) from error
        if base64.urlsafe_b64encode(decoded).rstrip(b"=") != segment:
            raise jwt.DecodeError(name)
        return decoded


require_attributes("pyjwt", jwt.PyJWT, "_jws")


class StrictJWT(jwt.PyJWT):
    """PyJWT that rejects ambiguous JSON and times that are not numbers."""

    def __init__(self) -> None:
        super().__init__()
        self._jws = CompactJWS()

    def _decode_payload(self, decoded: dict[str, Any]) -> dict[str, Any]:
        """Parse the payload, in place of PyJWT's method (guarded below, decision 0019)."""
        try:
            claims = _json_object(decoded["payload"])
        except ValueError as error:
            raise jwt.DecodeError from error
        for name in _TIMES & claims.keys():
            if not is_time(claims[name]):
                raise jwt.DecodeError
        return claims


_AMBIGUOUS = "eyJhbGciOiJub25lIn0.eyJhIjoxLCJhIjoyfQ."  # {"alg": "none"}, {"a": 1, "a": 2}


def require_strict_claims() -> None:
    """Raise IncompatibleLibrary if PyJWT no longer calls the method that rejects ambiguous JSON."""
    try:
        StrictJWT().decode(_AMBIGUOUS, options={"verify_signature": False})
    except jwt.DecodeError:
        return
    raise IncompatibleLibrary("pyjwt", "PyJWT._decode_payload")


def _json_object(text: bytes) -> dict[str, Any]:
    """Parse a JSON object that has only one interpretation. Raises ValueError."""
    value = strict_json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("no object")  # noqa: TRY004 - like all other errors here
    return value


require_strict_claims()
