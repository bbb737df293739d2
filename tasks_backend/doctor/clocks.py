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
        """A clause about the clocks that could be asked."""
        asked = {"the key server": self.key_server, "the database": self.database}
        known = {whose: ahead for whose, ahead in asked.items() if ahead is not None}
        if not known:
            return "no other clock could be asked"
        differing = [
            f"the clock of {whose} is {span(ahead)} {'ahead' if ahead > 0 else 'behind'}"
            for whose, ahead in known.items()
            if abs(ahead) > _AGREEMENT
        ]
        return " and ".join(differing) or f"the clock of {' and of '.join(known)} agrees"


def ahead(earliest: float, latest: float, *, before: float, after: float) -> float:
    """Return by how much a clock is surely ahead, or behind if negative.

    It was read between `before` and `after` by our clock, and said what lies between `earliest`
    and `latest`.
    """
    return max(0.0, earliest - after) + min(0.0, latest - before)


def findings(clocks: Clocks) -> list[Finding]:
    """Say whether this machine's clock can tell an expired token from a good one."""
    if clocks.key_server is None and clocks.database is None:
        return []
    message = f"Beside this machine's, {clocks.comparison}."
    if abs(clocks.key_server or 0) > LEEWAY:
        advice = f"Tokens tolerate {LEEWAY} s: synchronise both machines' clocks (NTP)."
        return [problem(CHECK, f"{message} {advice}")]
    if abs(clocks.database or 0) > LEEWAY:
        return [note(CHECK, f"{message} The times of tasks are the database's.")]
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
