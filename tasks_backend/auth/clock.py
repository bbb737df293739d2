"""Compares the clocks of this machine and of the auth server, which writes the times of tokens."""

from email.utils import parsedate_to_datetime

import httpx2

LEEWAY = 10  # seconds of accepted clock difference between two servers


def clock_offset(earliest: float, latest: float, *, before: float, after: float) -> float:
    """Return the seconds by which a clock is at least ahead, or behind if negative.

    The clock showed a time between `earliest` and `latest` when ours was between `before` and `after`.
    """
    return max(0.0, earliest - after) + min(0.0, latest - before)


def offset_of(headers: httpx2.Headers, *, before: float, after: float) -> float | None:
    """Compare clocks by a response's `Date`, and its `Age` if it was cached (RFC 9110, 9111)."""
    try:
        date = parsedate_to_datetime(headers["date"]).timestamp() + int(headers.get("age", "0"))
    except (KeyError, ValueError, OverflowError):
        return None
    return clock_offset(date, date + 1, before=before, after=after)  # it has whole seconds only
