"""One log line for each request, with the user as a salted hash."""

import hashlib
import logging
from collections.abc import Callable

from tasks_backend.http.request_record import RequestRecord

logger = logging.getLogger("tasks_backend.requests")


def user_hasher(salt: str) -> Callable[[str], str]:
    """Return the function that gives each user id the name that it has in the log.

    Whoever knows the salt can tell whether a user that they know is in the log, and nobody else.
    """
    key = hashlib.blake2b(salt.encode(), digest_size=32, person=b"request log").digest()

    def pseudonym(user_id: str) -> str:
        return hashlib.blake2b(user_id.encode(), key=key, digest_size=8).hexdigest()

    return pseudonym


def write(record: RequestRecord, *, duration: float, user: str | None) -> None:
    """Log a finished request, unless it is in a count. Nothing that the client sent is in the line but a harmless request
    id: no token, no claim, no body, no path, no parameter.
    """
    level = logging.INFO if (record.status or 0) < 500 else logging.WARNING  # noqa: PLR2004 - RFC 9110
    if record.counted or not logger.isEnabledFor(level):
        return
    database = sum(exchange.duration for exchange in record.database_calls)
    line = {
        "request_id": record.request_id,
        "method": record.method,
        "route": record.route,
        "status": record.status,
        "code": record.code,
        "duration_ms": _milliseconds(duration),
        "waited_ms": _milliseconds(record.waited),
        "database_ms": _milliseconds(database),
        "exchanges": len(record.database_calls),
        "user": user,
    }
    logger.log(level, "request", extra=line)


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 2)
