"""Writes that a client may repeat safely: with an `Idempotency-Key`, a write happens once."""

import hashlib
import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import orjson
from fastapi import Request
from sqlalchemy import ColumnElement

from tasks_backend.db.database import CallerDatabase, LockTimeout
from tasks_backend.errors import IdempotencyInProgress, IdempotencyKeyReused, QuotaExceeded
from tasks_backend.tasks.conditions import idempotency_key
from tasks_backend.tasks.idempotent_statements import IdempotentWrite
from tasks_backend.tasks.keyed_statements import write_statements
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


class Written(NamedTuple):
    """The row that a write returned, by column."""

    row: dict[str, Any]
    """With a key, its values are JSON's: times and ids are texts."""
    replayed: bool
    """Whether it is the answer of an earlier request with this key."""

    @property
    def headers(self) -> dict[str, str]:
        """The header that says so."""
        return {"Idempotency-Replayed": "true"} if self.replayed else {}


class KeyedWrite:
    """A plugin's insert, update or delete that clients may repeat with an `Idempotency-Key`.

    `work` gets a condition, and returns a construct that has it in its `where` and that has `returning`:

        KeyedWrite(lambda first: insert(notes)
            .from_select(["id", "user_id", "text"], select(ID, USER_ID, TEXT).where(first))
            .returning(notes.c.id, notes.c.text))

    Make it at import. Raises ValueError for a parameter named `key`, `fingerprint`, `attempt`, `ttl` or
    `max_keys`, which are the service's.
    """

    def __init__(self, work: Callable[[ColumnElement[bool]], Any]) -> None:
        self._statements = write_statements(work)

    async def run(
        self, request: Request, own: CallerDatabase, *request_values: object, **parameters: Any
    ) -> Written | None:
        """Write, once if the request has a key, with one message.

        With the method and the path, `request_values` identify the request: the values that the client
        sent. Returns None if nothing was written: because of the work's own conditions, or because the
        user has too many keys (`too_many_keys`). Raises ValidationFailed for an invalid key,
        IdempotencyKeyReused and IdempotencyInProgress, and what `CallerDatabase.run` raises.
        """
        plain, keyed, names = self._statements
        key = idempotency_key(request)
        if key is None:
            rows = await own.run(plain, **parameters)
            return Written(dict(zip(names, rows[0], strict=True)), replayed=False) if rows else None
        values = (request.method, request.scope["path"], *request_values)
        result = await run_once(request, own, keyed, key, *values, **parameters)
        if result is None:
            return None
        (row,), replayed = result
        return Written(row, replayed)
