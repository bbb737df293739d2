"""Compare a token's claims with what the service expects."""

import time
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from tasks_backend.auth.clock import LEEWAY
from tasks_backend.auth.tokens import MAX_TIME, is_time, is_visible
from tasks_backend.doctor import purpose
from tasks_backend.doctor.clocks import Clocks, format_duration
from tasks_backend.doctor.findings import Finding, ok, printable, problem
from tasks_backend.settings import Settings

_MAX_SUBJECT = 255
_NO_BASE_URL = (
    "Better Auth has no baseURL, and the token was not made in a request (auth.api.getToken on the"
    " server), so its address was not known; set baseURL"
)
_YEAR_2000 = 946_684_800  # an earlier expiry is not a time but a misplaced duration


def findings(claims: Mapping[str, Any], settings: Settings, clocks: Clocks) -> Iterator[Finding]:
    """Return a finding for each check of the claims."""
    yield _issuer(claims.get("iss"), settings.issuer)
    yield _audience(claims.get("aud"), settings.audience)
    yield purpose.of_claims(claims)
    now = time.time()
    yield _expiry(claims, now, settings.jwt_max_lifetime, clocks)
    yield _issued(claims, now, clocks)
    yield _subject(claims.get("sub"))


def _issuer(actual: object, expected: str) -> Finding:
    check = "token.issuer"
    if actual == expected:
        return ok(check, f"{printable(actual)}, as expected.")
    if actual is None:
        return problem(check, f"It names no issuer (iss); {printable(expected)} is expected.")
    if actual == "":
        return problem(check, f"Its issuer (iss) is empty: {_NO_BASE_URL} or jwt.issuer.")
    return problem(
        check,
        f"It is from {printable(actual)}, but {printable(expected)} is expected"
        f"{_likely_mistake(actual, expected)}: correct JWT_ISSUER, or Better Auth's baseURL or"
        " jwt.issuer.",
    )


def _audience(actual: object, expected: str) -> Finding:
    check = "token.audience"
    audiences = actual if isinstance(actual, list) else [actual]
    if expected in audiences and all(isinstance(audience, str) for audience in audiences):
        return ok(check, f"{printable(expected)}, as expected.")
    if actual is None or not audiences:
        return problem(check, f"It names no audience (aud); {printable(expected)} is expected.")
    if audiences == [""]:
        return problem(check, f"Its audience (aud) is empty: {_NO_BASE_URL} or jwt.audience.")
    names = printable(", ".join(printable(audience) for audience in audiences))
    mistake = "".join(_likely_mistake(audience, expected) for audience in audiences[:1])
    return problem(
        check,
        f"It is for {names}, but {printable(expected)} is expected{mistake}: correct JWT_AUDIENCE,"
        " or Better Auth's baseURL or jwt.audience.",
    )


def _likely_mistake(actual: object, expected: str) -> str:
    """Return a clause that names a small difference, or an empty string."""
    if not isinstance(actual, str):
        return ""
    if actual.rstrip("/") == expected.rstrip("/"):
        return " (they differ in the slash at the end)"
    if actual.partition("://")[2] == expected.partition("://")[2]:
        return " (they differ in http and https)"
    if actual.lower() == expected.lower():
        return " (they differ in capital letters)"
    return ""


def _expiry(claims: Mapping[str, Any], now: float, max_lifetime: float, clocks: Clocks) -> Finding:
    check = "token.expiry"
    expiry, issued = claims.get("exp"), claims.get("iat")
    if isinstance(expiry, int | float) and _YEAR_2000 < expiry // 1000 <= MAX_TIME:
        return problem(
            check,
            "Its exp is in milliseconds, but must be in seconds: Better Auth reads a number in"
            ' expirationTime as a point in time, so write a duration there, such as "15m".',
        )
    if not is_time(expiry):
        return problem(check, _not_a_time("exp", claims))
    remaining = expiry - now
    if is_time(issued) and expiry - issued > max_lifetime:
        return problem(
            check,
            f"It is valid for {format_duration(expiry - issued)}, but at most"
            f" {format_duration(max_lifetime)} is allowed: shorten Better Auth's expirationTime, or"
            " raise JWT_MAX_LIFETIME.",
        )
    if remaining > 0:
        return ok(check, f"It expires in {format_duration(remaining)}.")
    message = f"It expired {format_duration(remaining)} ago; {clocks.comparison}"
    if remaining > -LEEWAY:
        return ok(check, f"{message}, and {LEEWAY} s are tolerated.")
    if expiry < _YEAR_2000:
        return problem(
            check,
            "It expired before it was issued: Better Auth reads a number in expirationTime as a"
            ' point in time, so write a duration there, such as "15m".',
        )
    if clocks.key_server is not None and remaining - clocks.key_server > -LEEWAY:
        return problem(
            check, f"{message}: set this machine's clock; the token is then still valid."
        )
    return problem(check, f"{message}: get a new one.")


def _issued(claims: Mapping[str, Any], now: float, clocks: Clocks) -> Finding:
    check = "token.issued"
    issued, not_before = claims.get("iat"), claims.get("nbf", 0)
    if not is_time(issued):
        return problem(check, _not_a_time("iat", claims))
    if not is_time(not_before):
        return problem(check, _not_a_time("nbf", claims))
    for ahead, event in ((issued - now, "was issued"), (not_before - now, "becomes valid only")):
        if ahead > LEEWAY:
            return problem(
                check,
                f"It {event} {format_duration(ahead)} from now; {clocks.comparison}: set the clocks"
                " of both machines (NTP), or wait.",
            )
    return ok(check, f"It was issued {format_duration(max(0.0, now - issued))} ago.")


def _subject(subject: object) -> Finding:
    check = "token.subject"
    if subject is None:
        return problem(check, "It names no user (sub): Better Auth's getSubject must return one.")
    if not isinstance(subject, str):
        return problem(check, "Its sub is not a string: Better Auth's getSubject must return one.")
    if not 1 <= len(subject) <= _MAX_SUBJECT:
        return problem(
            check,
            f"Its sub has {len(subject)} characters, but 1 to {_MAX_SUBJECT} are allowed: Better"
            " Auth's getSubject must return the user's id.",
        )
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in subject):
        return problem(
            check,
            "Its sub has control characters: Better Auth's getSubject must return the user's id.",
        )
    if not is_visible(subject):
        return problem(
            check,
            "Its sub begins or ends with white space, or has no visible character: Better Auth's"
            " getSubject must return the user's id.",
        )
    return ok(check, "It names a user.")


def _not_a_time(name: str, claims: Mapping[str, Any]) -> str:
    if name not in claims:
        return f"It has no {name}: Better Auth's definePayload must not remove it."
    return f"Its {name} is not a number of seconds: Better Auth's definePayload must not change it."
