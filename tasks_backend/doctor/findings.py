"""What a check found: one sentence that anybody may see, and how bad it is."""

from dataclasses import dataclass
from enum import StrEnum

CHECKS = {
    "settings": ("values", "plugins"),
    "database": (
        *("reachable", "tls", "pooling", "role", "row_level_security", "schema"),
        "migrations",
    ),
    "keys": ("endpoint", "usable"),
    "clock": ("difference",),
    "token": (
        *("verdict", "size", "form", "header", "algorithm", "type", "key", "signature", "issuer"),
        *("audience", "purpose", "expiry", "issued", "subject"),
    ),
}
"""Every check by its area, in the order in which they are shown. The names are a promise."""
SKIPPED = "Not looked at, because of a problem above."
_SHOWN_LENGTH = 200


class Outcome(StrEnum):
    """How bad it is; only a problem makes the command fail."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One sentence about one check, whose name is `<area>.<what>`."""

    check: str
    outcome: Outcome
    message: str


def ok(check: str, message: str) -> Finding:
    """Return the finding that all is well."""
    return Finding(check, Outcome.OK, message)


def note(check: str, message: str) -> Finding:
    """Return something that is worth knowing and stops nothing."""
    return Finding(check, Outcome.NOTE, message)


def problem(check: str, message: str) -> Finding:
    """Return what is wrong; the message says what to do about it."""
    return Finding(check, Outcome.PROBLEM, message)


def broken(check: str, error: Exception) -> Finding:
    """Return what a check comes to that hangs or breaks, so that no other suffers.

    The error's text is left out: it may hold anything.
    """
    if isinstance(error, TimeoutError):
        return problem(check, "The check did not finish in time: try again, then look there.")
    return problem(check, f"The check itself broke ({type(error).__name__}): report this.")


def complete(found: list[Finding], areas: list[str]) -> list[Finding]:
    """Return the findings in the order of CHECKS, with a note for each check that was left out."""
    ordered = []
    for area in areas:
        for name in CHECKS[area]:
            check = f"{area}.{name}"
            ordered += [one for one in found if one.check == check] or [note(check, SKIPPED)]
    return ordered


def shown(text: object) -> str:
    """Return a stranger's text so that it can do no harm in a terminal, and not fill it."""
    if not isinstance(text, str):
        return "something that is no text"
    cut = text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}…"
    return "".join(character if character.isprintable() else "\ufffd" for character in cut)


def counted(number: int, noun: str) -> str:
    """Return `1 key`, `2 keys`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
