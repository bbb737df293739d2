"""The results of the session as Markdown."""

from collections.abc import Iterable

from support.markdown import Row, table

from proxies.attempt import Attempt
from proxies.kinds import Kind

HEAD = (
    "in front of the service", "attempts", "in forms", "refused by the proxy",
    "victim on the same connection", "successes",
)  # fmt: skip


def row(kind: Kind, attempts: Iterable[Attempt]) -> Row:
    """Return the row of one proxy."""
    made = list(attempts)
    refused = sum(not attempt.reached for attempt in made)
    return (
        kind.name,
        str(len(made)),
        str(len({attempt.form.name for attempt in made})),
        str(refused) if kind.configure else "",
        str(sum(attempt.shared for attempt in made)),
        str(sum(bool(attempt.findings) for attempt in made)),
    )


def written(rows: Iterable[Row]) -> str:
    """Return the whole table."""
    return table(HEAD, rows)
