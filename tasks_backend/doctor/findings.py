"""The result of a check: a severity and a message without secrets."""

from dataclasses import dataclass
from enum import StrEnum

CHECKS = {
    "settings": ("values", "environment", "plugins"),
    "database": (
        "reachable",
        "tls",
        "pooling",
        "role",
        "row_level_security",
        "schema",
        "migrations",
        "dump",
    ),
    "keys": ("endpoint", "usable"),
    "clock": ("difference",),
    "token": (
        "verdict",
        "size",
        "form",
        "header",
        "algorithm",
        "type",
        "key",
        "signature",
        "issuer",
        "audience",
        "purpose",
        "expiry",
        "issued",
        "subject",
    ),
}
"""The checks of each area, in display order. The names are a stable interface."""
SKIPPED = "Not checked, because of a problem above."
_MAX_LENGTH = 200  # characters


class Outcome(StrEnum):
    """The severity; only a problem makes the command fail."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """The result of one check, whose name is `<area>.<what>`."""

    check: str
    outcome: Outcome
    message: str


def ok(check: str, message: str) -> Finding:
    """Return the finding of a check that passed."""
    return Finding(check, Outcome.OK, message)


def note(check: str, message: str) -> Finding:
    """Return a finding that is worth knowing but is no problem."""
    return Finding(check, Outcome.NOTE, message)


def problem(check: str, message: str) -> Finding:
    """Return a problem; the message says what to do about it."""
    return Finding(check, Outcome.PROBLEM, message)


def check_failed(check: str, error: Exception) -> Finding:
    """Return the finding of a check that timed out or raised an error.

    The error's text is left out because it may contain secrets.
    """
    if isinstance(error, TimeoutError):
        return problem(check, "The check did not finish in time: try again, then look there.")
    return problem(check, f"The check itself failed ({type(error).__name__}): report this.")


def add_skipped(findings: list[Finding], areas: list[str]) -> list[Finding]:
    """Return the findings in the order of CHECKS, with a note for each check that was skipped."""
    ordered = []
    for area in areas:
        for name in CHECKS[area]:
            check = f"{area}.{name}"
            ordered += [finding for finding in findings if finding.check == check] or [
                note(check, SKIPPED)
            ]
    return ordered


def printable(text: object) -> str:
    """Return untrusted text, shortened and without control characters, for a terminal."""
    if not isinstance(text, str):
        return "something that is not text"
    cut = text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]}…"
    return "".join(character if character.isprintable() else "\ufffd" for character in cut)
