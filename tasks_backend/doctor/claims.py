"""What a token's claims say, against what the service expects of them."""

import time
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from tasks_backend.auth.tokens import LEEWAY, is_visible
from tasks_backend.doctor import purpose
from tasks_backend.doctor.clocks import Clocks, span
from tasks_backend.doctor.findings import Finding, ok, problem, shown
from tasks_backend.settings import Settings

_MAX_SUBJECT = 255
_THIS_CENTURY = 946_684_800  # 2000-01-01: an earlier expiry was never meant as a time
_LAST_SECOND = 253_402_300_799  # of the year 9999; what is more is milliseconds, or nonsense


def findings(claims: Mapping[str, Any], settings: Settings, clocks: Clocks) -> Iterator[Finding]:
    """Return what speaks for and against a token, claim by claim."""
    yield _issuer(claims.get("iss"), settings.issuer)
    yield _audience(claims.get("aud"), settings.audience)
    yield purpose.of_claims(claims)
    now = time.time()
    yield _expiry(claims, now, settings.jwt_max_lifetime, clocks)
    yield _issued(claims, now, clocks)
    yield _subject(claims.get("sub"))


def _issuer(found: object, expected: str) -> Finding:
    check = "token.issuer"
    if found == expected:
        return ok(check, f"{shown(found)}, as expected.")
    if found is None:
        return problem(check, f"It names no issuer (iss), and {shown(expected)} is expected.")
    return problem(
        check,
        f"It is from {shown(found)}, and {shown(expected)} is expected"
        f"{_nearly(found, expected)}: correct JWT_ISSUER, or Better Auth's baseURL or jwt.issuer.",
    )


def _audience(found: object, expected: str) -> Finding:
    check = "token.audience"
    audiences = found if isinstance(found, list) else [found]
    if expected in audiences and all(isinstance(one, str) for one in audiences):
        return ok(check, f"{shown(expected)}, as expected.")
    if found is None or not audiences:
        return problem(check, f"It names no audience (aud), and {shown(expected)} is expected.")
    named = shown(", ".join(shown(one) for one in audiences))
    near = "".join(_nearly(one, expected) for one in audiences[:1])
    return problem(
        check,
        f"It is for {named}, and {shown(expected)} is expected{near}: correct JWT_AUDIENCE, or"
        " Better Auth's baseURL or jwt.audience.",
    )


def _nearly(found: object, expected: str) -> str:
    """Return a clause that points out a difference which is easily overlooked."""
    if not isinstance(found, str):
        return ""
    if found.rstrip("/") == expected.rstrip("/"):
        return " (they differ in the slash at the end)"
    if found.partition("://")[2] == expected.partition("://")[2]:
        return " (they differ in http and https)"
    if found.lower() == expected.lower():
        return " (they differ in capital letters)"
    return ""


def _expiry(claims: Mapping[str, Any], now: float, max_lifetime: float, clocks: Clocks) -> Finding:
    check = "token.expiry"
    expiry, issued = claims.get("exp"), claims.get("iat")
    if not _is_time(expiry):
        return problem(check, _no_time("exp", claims))
    left = expiry - now
    if _is_time(issued) and expiry - issued > max_lifetime:
        return problem(
            check,
            f"It is good for {span(expiry - issued)}, and at most {span(max_lifetime)} are taken:"
            " shorten Better Auth's expirationTime, or raise JWT_MAX_LIFETIME.",
        )
    if left > 0:
        return ok(check, f"It expires in {span(left)}.")
    message = f"It expired {span(left)} ago; {clocks.comparison}"
    if left > -LEEWAY:
        return ok(check, f"{message}, and {LEEWAY} s are tolerated.")
    if expiry < _THIS_CENTURY:
        return problem(
            check,
            "It expired before it was issued: Better Auth takes a number in expirationTime as the"
            ' time itself, so write a duration there, such as "15m".',
        )
    if clocks.key_server is not None and left - clocks.key_server > -LEEWAY:
        return problem(check, f"{message}: set this machine's clock, then it is still good.")
    return problem(check, f"{message}: get a new one.")


def _issued(claims: Mapping[str, Any], now: float, clocks: Clocks) -> Finding:
    check = "token.issued"
    issued, begins = claims.get("iat"), claims.get("nbf", 0)
    if not _is_time(issued):
        return problem(check, _no_time("iat", claims))
    if not _is_time(begins):
        return problem(check, _no_time("nbf", claims))
    for early, what in ((issued - now, "was issued"), (begins - now, "becomes good only")):
        if early > LEEWAY:
            return problem(
                check,
                f"It {what} {span(early)} from now; {clocks.comparison}: set the clocks of both"
                " machines (NTP), or wait.",
            )
    return ok(check, f"It was issued {span(max(0.0, now - issued))} ago.")


def _subject(subject: object) -> Finding:
    check = "token.subject"
    if subject is None:
        return problem(check, "It names no user (sub): Better Auth's getSubject has to return one.")
    if not isinstance(subject, str):
        return problem(check, "Its sub is no text: Better Auth's getSubject has to return one.")
    if not 1 <= len(subject) <= _MAX_SUBJECT:
        return problem(
            check,
            f"Its sub has {len(subject)} characters, and 1 to {_MAX_SUBJECT} are allowed: let Better"
            " Auth's getSubject return the user's id.",
        )
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in subject):
        return problem(
            check,
            "Its sub has control characters: let Better Auth's getSubject return the user's id.",
        )
    if not is_visible(subject):
        return problem(
            check,
            "Its sub begins or ends with white space, or shows nothing at all: let Better Auth's"
            " getSubject return the user's id.",
        )
    return ok(check, "It names a user.")


def _is_time(value: object) -> TypeGuard[float]:
    return type(value) in {int, float} and 0 <= value <= _LAST_SECOND  # type: ignore[operator] # mypy does not follow the types


def _no_time(name: str, claims: Mapping[str, Any]) -> str:
    if name not in claims:
        return f"It has no {name}: Better Auth's definePayload must not take it away."
    return f"Its {name} is no number of seconds: Better Auth's definePayload must not change it."
