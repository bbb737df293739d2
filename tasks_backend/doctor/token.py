"""Why a token would be refused. The verdict is the service's own; the rest only explains it.

Neither the token nor what it says of a person, the user's id among it, is ever shown.
"""

import base64
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jwt

from tasks_backend.auth.keys import KEY_ID
from tasks_backend.auth.tokens import TokenVerifier
from tasks_backend.doctor import claims, purpose
from tasks_backend.doctor.clocks import Clocks
from tasks_backend.doctor.findings import Finding, Outcome, counted, ok, problem, shown
from tasks_backend.doctor.keys import Keys
from tasks_backend.errors import ApiError, AuthUnavailable
from tasks_backend.http import strict_json
from tasks_backend.settings import ASYMMETRIC_ALGORITHMS, Settings

_SEGMENT = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_REFUSED_HEADERS = ("crit", "b64", "enc", "zip")
_SIGNED, _ENCRYPTED = 3, 5  # parts


async def examine(
    token: str, verifier: TokenVerifier, settings: Settings, keys: Keys, clocks: Clocks
) -> list[Finding]:
    """Return the service's verdict, and what speaks for and against the token."""
    reasons = list(_explanation(token, settings, keys, clocks))
    check = "token.verdict"
    try:
        await verifier.subject(token)
    except AuthUnavailable as error:
        message = f"Whether it is good cannot be told without the keys: {_answer(error)}."
        return [problem(check, message), *reasons]
    except ApiError as error:
        message = f"The service refuses it: {_answer(error)}."
        if not any(reason.outcome is Outcome.PROBLEM for reason in reasons):
            message += " None of the usual reasons applies: report this."
        return [problem(check, message), *reasons]
    taken = ok(check, "The service takes it, with the keys that are published now.")
    return [taken, *(_harmless(reason) for reason in reasons)]


def _answer(error: ApiError) -> str:
    return f"{error.status} {error.code}"


def _harmless(finding: Finding) -> Finding:
    """Return the finding as what it is beside a token that is taken: no problem."""
    if finding.outcome is Outcome.PROBLEM:
        return replace(finding, outcome=Outcome.NOTE)
    return finding


def _explanation(token: str, settings: Settings, keys: Keys, clocks: Clocks) -> Iterator[Finding]:
    yield _size(token, settings)
    disfigured = _disfigured(token)
    if disfigured:
        yield problem("token.form", disfigured)
        return
    header, payload = (_decoded(part) for part in token.split(".")[:2])
    if header is None or payload is None:
        which = "first" if header is None else "second"
        yield problem(
            "token.form",
            f"Its {which} part is no JSON object, or gives a name twice: it was damaged or forged.",
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
            f"It has {len(token)} bytes, and JWT_MAX_BYTES allows {settings.jwt_max_bytes}: put less"
            " of the user into it with Better Auth's definePayload, or raise JWT_MAX_BYTES.",
        )
    return ok("token.size", f"It has {len(token)} bytes of {settings.jwt_max_bytes} allowed ones.")


def _disfigured(token: str) -> str | None:
    """Return why it is no compact JWT at all, or None if it is one by its look."""
    if not token:
        return "There is none: standard input was empty."
    if token[:7].lower() == "bearer ":
        return "It begins with the word Bearer: give the token alone."
    if token[0] in "\"'":
        return "It is in quotation marks: leave them out."
    if any(character.isspace() for character in token):
        return "It has white space inside: give it on one line, as it was issued."
    parts = token.split(".")
    if len(parts) == _ENCRYPTED:
        return "It is an encrypted token (JWE): let Better Auth sign, and not encrypt."
    if len(parts) < _SIGNED:
        return (
            "It is no JWT, but perhaps Better Auth's session token: ask Better Auth's /token for"
            " a JWT, or take it from the header set-auth-jwt."
        )
    if len(parts) > _SIGNED:
        return f"It has {len(parts)} parts, and a signed token has {_SIGNED}: it was damaged."
    if not parts[2]:
        return "It is not signed: its last part is empty."
    if not all(_SEGMENT.fullmatch(part) for part in parts):
        return "It has characters that no token has (only A-Z a-z 0-9 - _): it was damaged."
    return None


def _header(header: dict[str, Any], settings: Settings) -> Iterator[Finding]:
    refused = [name for name in _REFUSED_HEADERS if name in header]
    if refused:
        yield problem(
            "token.header",
            f"Its header has {' and '.join(refused)}, which the service takes from nobody:"
            " issue it without.",
        )
    else:
        yield ok("token.header", "Its header has nothing that is refused.")
    yield _algorithm(header.get("alg"), settings)
    yield purpose.of_type(header.get("typ", "JWT"))


def _algorithm(algorithm: object, settings: Settings) -> Finding:
    check, allowed = "token.algorithm", ", ".join(settings.jwt_algorithms)
    if isinstance(algorithm, str) and algorithm in settings.jwt_algorithms:
        return ok(check, f"It is signed with {algorithm}.")
    if algorithm is None:
        return problem(check, f"Its header has no alg: it has to be one of {allowed}.")
    message = f"Its algorithm is {shown(algorithm)}, and allowed are {allowed}"
    if algorithm in ASYMMETRIC_ALGORITHMS:
        return problem(check, f"{message}: add it to JWT_ALGORITHMS if Better Auth signs with it.")
    return problem(check, f"{message}: this one can never be, so sign with one of those.")


def _signature(token: str, header: dict[str, Any], keys: Keys) -> Iterator[Finding]:
    """Say whether the key is known and has made the signature."""
    check, kid = "token.key", header.get("kid")
    if not isinstance(kid, str) or not KEY_ID.fullmatch(kid):
        yield problem(check, "Its header has no proper key id (kid): Better Auth's tokens have.")
        return
    if not keys.are_known:
        return
    key = keys.usable.get(kid)
    if key is None:
        yield problem(check, _unknown(kid, keys))
        return
    if header.get("alg") != key.algorithm_name:
        yield problem(
            check,
            f"Its key is published for {key.algorithm_name}, and not for what its header says:"
            " it was not issued by the owner of the key.",
        )
        return
    yield ok(check, "Its key is published.")
    try:
        jwt.PyJWS().decode(token, key, algorithms=[key.algorithm_name])
    except jwt.InvalidSignatureError:
        yield problem(
            "token.signature",
            "The signature does not fit: the token was changed, or comes from another Better Auth"
            " instance with the same key ids.",
        )
    except jwt.PyJWTError:
        return  # it was not compared, because of something in the header
    else:
        yield ok("token.signature", "The signature fits.")


def _unknown(kid: str, keys: Keys) -> str:
    if kid in keys.ids:
        return "Its key is published, but not used: see the keys above."
    return (
        f"Its key is not among the {counted(len(keys.ids), 'published key')}: it comes from"
        " another Better Auth instance, or the key was retired. See that BETTER_AUTH_URL is the"
        " instance that issued it, and get a new one."
    )


def _decoded(segment: str) -> dict[str, Any] | None:
    """Return a part as an object, if it is one and there is but one way to read it."""
    try:
        value = strict_json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
