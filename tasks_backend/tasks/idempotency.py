"""Writes that a client may repeat safely: with an `Idempotency-Key`, a write happens once."""

import hashlib
import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import orjson
from fastapi import Request

from tasks_backend.db.database import CallerDatabase, LockTimeout
from tasks_backend.errors import IdempotencyInProgress, IdempotencyKeyReused, QuotaExceeded
from tasks_backend.tasks.idempotent_statements import IdempotentWrite
from tasks_backend.tasks.quota import Quota

_TOO_MANY_KEYS = (
    "Too many of your idempotency keys have not expired. Send it without a key, or later."
)


def too_many_keys() -> QuotaExceeded:
    """Return the failure of a write whose key would be one too many."""
    return QuotaExceeded(_TOO_MANY_KEYS)


async def run_once(
    request: Request,
    own: CallerDatabase,
    write: IdempotentWrite,
    key: str,
    *request_values: object,
    limits: Sequence[str] = ("max_keys",),
    **parameters: Any,
) -> tuple[Sequence[Any], bool] | None:
    """Do a write unless it was done with this key. `request_values` identify the request.

    Return the result, and whether it is that of an earlier request; None if nothing was written.
    Raises IdempotencyKeyReused if the key was used for another request, and IdempotencyInProgress.
    """
    attempt = str(uuid.uuid4())
    fingerprint = hashlib.sha256(orjson.dumps(request_values)).hexdigest()
    parameters |= {
        "key": key,
        "fingerprint": fingerprint,
        "attempt": attempt,
        "ttl": timedelta(seconds=request.app.state.settings.idempotency_ttl),
    }
    try:
        rows = await Quota.of(request.app).run(own, *write, limits, **parameters)
    except LockTimeout:
        raise IdempotencyInProgress from None
    if not rows:
        return None
    first_attempt, first_fingerprint, *result = rows[0]
    if first_fingerprint != fingerprint:
        raise IdempotencyKeyReused
    return result, first_attempt != attempt
