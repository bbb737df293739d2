"""Explain why a token is refused. The verdict is the service's own; the rest explains it.

The token and its personal data, including the user's id, are never shown.
"""

import base64
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jwt

from tasks_backend.auth.keys import DEVELOPMENT_PREFIX, KEY_ID
from tasks_backend.auth.tokens import REFUSED_HEADERS, TokenVerifier
from tasks_backend.doctor import claims, purpose
from tasks_backend.doctor.clocks import Clocks
from tasks_backend.doctor.findings import Finding, Outcome, ok, printable, problem
from tasks_backend.doctor.keys import Keys
from tasks_backend.errors import ApiError, AuthUnavailable
from tasks_backend.http import strict_json
from tasks_backend.settings import ASYMMETRIC_ALGORITHMS, Settings
from tasks_backend.terminal import pluralise

_REMEDY = "get a JWT from Better Auth's /token, or from the header set-auth-jwt"
_SEGMENT = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_JWS_PARTS, _JWE_PARTS = 3, 5


async def examine(
    token: str, verifier: TokenVerifier, settings: Settings, keys: Keys, clocks: Clocks
) -> list[Finding]:
    """Return the service's verdict, then the findings that explain it."""
    reasons = list(_explanation(token, settings, keys, clocks))
    check = "token.verdict"
    try:
        await verifier.subject(token)
    except AuthUnavailable as error:
        message = f"It cannot be verified without the keys: {_status_and_code(error)}."
        return [problem(check, message), *reasons]
    except ApiError as error:
        message = f"The service refuses it: {_status_and_code(error)}."
        if not any(reason.outcome is Outcome.PROBLEM for reason in reasons):
            message += " No known reason applies: report this."
        return [problem(check, message), *reasons]
    accepted = ok(check, "The service accepts it, with the keys that are published now.")
    return [accepted, *(_as_note(reason) for reason in reasons)]


def without_settings(token: str) -> list[Finding]:
    """Return the finding that needs no settings: whether it is a token of `dev`."""
    header = _decode(token.partition(".")[0]) or {}
    return [_OF_DEVELOPMENT] if _is_of_development(header.get("kid")) else []


_OF_DEVELOPMENT = problem(
    "token.key",
    "It is a token of `tasks-backend dev`, which only the `dev` with the same data directory accepts:"
    " get one from Better Auth.",
)


def _is_of_development(kid: object) -> bool:
    return isinstance(kid, str) and kid.startswith(DEVELOPMENT_PREFIX)


def _status_and_code(error: ApiError) -> str:
    return f"{error.status} {error.code}"


def _as_note(finding: Finding) -> Finding:
    """Return a problem as a note, because the token is accepted."""
    if finding.outcome is Outcome.PROBLEM:
        return replace(finding, outcome=Outcome.NOTE)
    return finding


def _explanation(token: str, settings: Settings, keys: Keys, clocks: Clocks) -> Iterator[Finding]:
    yield _size(token, settings)
    format_error = _format_error(token)
    if format_error:
        yield problem("token.form", format_error)
        return
    header, payload = (_decode(part) for part in token.split(".")[:2])
    if header is None or payload is None:
        position = "first" if header is None else "second"
        yield problem(
            "token.form",
            f"Its {position} part is not a JSON object, or repeats a name: it was damaged"
            " or forged.",
        )
        return
    yield ok("token.form", "It has the form of a signed token.")
    yield from _header(header, settings)
    yield from _signature(token, header, keys)
    yield from claims.findings(payload, settings, clocks)


def _size(token: str, settings: Settings) -> Finding:
    if len(token) > settings.jwt_max_bytes:
        return problem(
            "token.size",
            f"It has {len(token)} bytes, but JWT_MAX_BYTES allows {settings.jwt_max_bytes}: put"
            " fewer claims into it with Better Auth's definePayload, or raise JWT_MAX_BYTES.",
        )
    return ok("token.size", f"It has {len(token)} bytes; {settings.jwt_max_bytes} are allowed.")


def _format_error(token: str) -> str | None:
    """Return why it is not in the form of a compact JWT, or None."""
    if not token:
        return "There is no token: standard input was empty."
    if token[:7].lower() == "bearer ":
        return "It begins with the word Bearer: pass only the token."
    if token[0] in "\"'":
        return "It is in quotation marks: remove them."
    if any(character.isspace() for character in token):
        return "It has white space inside: pass it on one line, as it was issued."
    parts = token.split(".")
    if len(parts) == _JWE_PARTS:
        return f"It is an encrypted token (JWE), as Better Auth's session cookie may be: {_REMEDY}."
    if len(parts) < _JWS_PARTS:
        return f"It is not a JWT, but perhaps Better Auth's session token: {_REMEDY}."
    if len(parts) > _JWS_PARTS:
        return f"It has {len(parts)} parts, but a signed token has {_JWS_PARTS}: it was damaged."
    if not parts[2]:
        return "It is not signed: its last part is empty."
    if not all(_SEGMENT.fullmatch(part) for part in parts):
        return "It has characters that no token has (allowed: A-Z a-z 0-9 - _): it was damaged."
    return None


def _header(header: dict[str, Any], settings: Settings) -> Iterator[Finding]:
    refused = sorted(REFUSED_HEADERS & header.keys())
    if refused:
        yield problem(
            "token.header",
            f"Its header has {' and '.join(refused)}, which the service never accepts:"
            " issue it without.",
        )
    else:
        yield ok("token.header", "Its header has no refused parameter.")
    yield _algorithm(header.get("alg"), settings)
    yield purpose.of_type(header.get("typ", "JWT"))


def _algorithm(algorithm: object, settings: Settings) -> Finding:
    check, allowed = "token.algorithm", ", ".join(settings.jwt_algorithms)
    if isinstance(algorithm, str) and algorithm in settings.jwt_algorithms:
        return ok(check, f"It is signed with {algorithm}.")
    if algorithm is None:
        return problem(check, f"Its header has no alg: it must be one of {allowed}.")
    message = f"Its algorithm is {printable(algorithm)}; {allowed} are allowed"
    if algorithm in ASYMMETRIC_ALGORITHMS:
        return problem(check, f"{message}: add it to JWT_ALGORITHMS if Better Auth signs with it.")
    if algorithm == "Ed25519":
        return problem(
            check, f"{message}: it is a newer name (RFC 9864) for EdDSA, so sign as EdDSA."
        )
    if isinstance(algorithm, str) and algorithm.startswith("HS"):
        return problem(
            check,
            f"{message}: this one can never be allowed. Better Auth signs its session cookie so:"
            f" {_REMEDY}.",
        )
    return problem(check, f"{message}: this one can never be allowed, so sign with one of those.")


def _signature(token: str, header: dict[str, Any], keys: Keys) -> Iterator[Finding]:
    """Check whether the key is published and the signature is valid."""
    check, kid = "token.key", header.get("kid")
    if not isinstance(kid, str) or not KEY_ID.fullmatch(kid):
        yield problem(check, "Its header has no valid key id (kid): Better Auth's tokens have one.")
        return
    if _is_of_development(kid):
        yield _OF_DEVELOPMENT
        return
    if not keys.are_known:
        return
    key = keys.usable.get(kid)
    if key is None:
        yield problem(check, _unknown_key(kid, keys))
        return
    if header.get("alg") != key.algorithm_name:
        yield problem(
            check,
            f"Its key is published for {key.algorithm_name}, not for the algorithm in its header:"
            " it was not issued by the owner of the key.",
        )
        return
    yield ok(check, "Its key is published.")
    try:
        jwt.PyJWS().decode(token, key, algorithms=[key.algorithm_name])
    except jwt.InvalidSignatureError:
        yield problem(
            "token.signature",
            "The signature is not valid: the token was changed, or comes from another Better Auth"
            " instance with the same key ids.",
        )
    except jwt.PyJWTError:
        return  # the header kept the signature from being checked
    else:
        yield ok("token.signature", "The signature is valid.")


def _unknown_key(kid: str, keys: Keys) -> str:
    if kid in keys.ids:
        return "Its key is published, but not used: see the keys above."
    return (
        f"Its key is not among the {pluralise(len(keys.ids), 'published key')}: it comes from"
        " another Better Auth instance, or the key was retired. Check that BETTER_AUTH_URL is"
        " the instance that issued it, and get a new token."
    )


def _decode(segment: str) -> dict[str, Any] | None:
    """Return a part as a JSON object, or None if it is invalid or ambiguous."""
    try:
        value = strict_json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
