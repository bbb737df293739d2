"""One log line for each request, with the user as a salted hash."""

import hashlib
import logging
from collections.abc import Callable

from tasks_backend.http.request_record import RequestRecord

logger = logging.getLogger("tasks_backend.requests")


def user_hasher(salt: str) -> Callable[[str], str]:
    """Return the function that hashes a user id for the log.

    The salt is necessary to find a known user in the log.
    """
    key = hashlib.blake2b(salt.encode(), digest_size=32, person=b"request log").digest()

    def hash_user(user_id: str) -> str:
        return hashlib.blake2b(user_id.encode(), key=key, digest_size=8).hexdigest()

    return hash_user


def write(record: RequestRecord, *, duration: float, user: str | None) -> None:
    """Log a finished request, unless a counted warning includes it.

    Its only client texts are the method and a valid request id: no token, no claim, no body, path or parameter.
    """
    level = logging.INFO if (record.status or 0) < 500 else logging.WARNING  # noqa: PLR2004 - RFC 9110
    if record.in_counted_warning or not logger.isEnabledFor(level):
        return
    database = sum(call.duration for call in record.database_calls)
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
    if record.reason:
        line["reason"] = record.reason
    logger.log(level, "request", extra=line)


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 2)
