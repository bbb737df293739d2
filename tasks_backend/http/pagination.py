"""Keyset pagination: a cursor is the id before the next page, with a checksum."""

import base64
import uuid
import zlib

from tasks_backend.errors import InvalidCursor

_LENGTH = 16  # of the id; the rest is the checksum


def encode(last: str, query: str) -> str:
    """Return the cursor of the page after the row `last`; valid for this `query` only."""
    packed = uuid.UUID(last).bytes
    return base64.urlsafe_b64encode(packed + _checksum(packed, query)).rstrip(b"=").decode()


def decode(cursor: str, query: str) -> uuid.UUID:
    """Return the id that the page starts after.

    Raises InvalidCursor if `encode` did not make it for this query: with another order or
    other rows, pages would silently skip or repeat rows.
    """
    try:
        last = uuid.UUID(bytes=base64.urlsafe_b64decode(f"{cursor}=")[:_LENGTH])
    except ValueError as error:
        raise InvalidCursor from error
    if encode(str(last), query) != cursor:  # several base64 texts decode to the same bytes
        raise InvalidCursor
    return last


def _checksum(packed: bytes, query: str) -> bytes:
    return zlib.crc32(packed + query.encode()).to_bytes(4, "big")
