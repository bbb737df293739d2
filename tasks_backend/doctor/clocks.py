"""Compare this machine's clock with the key server's and the database's."""

from dataclasses import dataclass

from tasks_backend.auth.clock import LEEWAY
from tasks_backend.doctor.findings import Finding, note, ok, problem

_TOLERANCE = 2.0  # seconds; an HTTP date has whole seconds only
_UNITS = (("day", 86_400), ("h", 3600), ("min", 60), ("s", 1))
CHECK = "clock.difference"


@dataclass(frozen=True)
class Clocks:
    """Seconds by which other clocks are ahead of this machine's; None if unknown."""

    key_server: float | None
    database: float | None

    @property
    def comparison(self) -> str:
        """A clause about the clocks that could be read."""
        offsets = {"the key server": self.key_server, "the database": self.database}
        known = {owner: offset for owner, offset in offsets.items() if offset is not None}
        if not known:
            return "no other clock could be read"
        differing = [
            f"the clock of {owner} is {format_duration(offset)}"
            f" {'ahead' if offset > 0 else 'behind'}"
            for owner, offset in known.items()
            if abs(offset) > _TOLERANCE
        ]
        return " and ".join(differing) or f"the clock of {' and of '.join(known)} agrees"


def findings(clocks: Clocks) -> list[Finding]:
    """Return whether this machine's clock is accurate enough to check token expiry."""
    if clocks.key_server is None and clocks.database is None:
        return []
    message = f"Compared with this machine's, {clocks.comparison}."
    if abs(clocks.key_server or 0) > LEEWAY:
        advice = (
            f"A difference of {LEEWAY} s is tolerated: synchronise both machines' clocks (NTP)."
        )
        return [problem(CHECK, f"{message} {advice}")]
    if abs(clocks.database or 0) > LEEWAY:
        return [note(CHECK, f"{message} The times of tasks come from the database's clock.")]
    return [ok(CHECK, message)]


def format_duration(seconds: float) -> str:
    """Return a duration in its two largest units, such as `3 min 20 s`."""
    remainder, parts = round(abs(seconds)), []
    for name, size in _UNITS:
        number, remainder = divmod(remainder, size)
        if number:
            plural = "s" if name == "day" and number > 1 else ""
            parts.append(f"{number} {name}{plural}")
    return " ".join(parts[:2]) or "0 s"
