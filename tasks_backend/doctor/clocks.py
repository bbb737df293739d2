"""Whose clock is right: ours beside the key server's and the database's."""

from dataclasses import dataclass

from tasks_backend.auth.tokens import LEEWAY
from tasks_backend.doctor.findings import Finding, note, ok, problem

_AGREEMENT = 2.0  # seconds; an HTTP date has whole ones only
_UNITS = (("day", 86_400), ("h", 3600), ("min", 60), ("s", 1))
CHECK = "clock.difference"


@dataclass(frozen=True)
class Clocks:
    """By how many seconds the others are ahead of this machine; None where nobody told."""

    key_server: float | None
    database: float | None

    @property
    def comparison(self) -> str:
        """A clause about each of the clocks that could be asked."""
        asked = (("the key server's", self.key_server), ("the database's", self.database))
        parts = [f"{whose} {_against_ours(ahead)}" for whose, ahead in asked if ahead is not None]
        return " and ".join(parts) if parts else "no other clock could be asked"


def findings(clocks: Clocks) -> list[Finding]:
    """Say whether this machine's clock can tell an expired token from a good one."""
    if clocks.key_server is None and clocks.database is None:
        return []
    message = f"Beside this machine's clock, {clocks.comparison}."
    if abs(clocks.key_server or 0) > LEEWAY:
        advice = f"Tokens tolerate {LEEWAY} s: synchronise both machines' clocks (NTP)."
        return [problem(CHECK, f"{message} {advice}")]
    if abs(clocks.database or 0) > LEEWAY:
        return [note(CHECK, f"{message} Tasks carry the database's times.")]
    return [ok(CHECK, message)]


def span(seconds: float) -> str:
    """Return a duration in its two largest units, such as `3 min 20 s`."""
    left, parts = round(abs(seconds)), []
    for name, size in _UNITS:
        number, left = divmod(left, size)
        if number:
            plural = "s" if name == "day" and number > 1 else ""
            parts.append(f"{number} {name}{plural}")
    return " ".join(parts[:2]) or "0 s"


def _against_ours(ahead: float) -> str:
    if abs(ahead) <= _AGREEMENT:
        return "agrees"
    return f"is {span(ahead)} {'ahead' if ahead > 0 else 'behind'}"
