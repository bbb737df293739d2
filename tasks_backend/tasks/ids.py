"""UUIDv7 (RFC 9562, 5.7), made by the service so that PostgreSQL 14 to 17 need not know them."""

import secrets
import threading
import time
import uuid

_lock = threading.Lock()
_last = 0


def new_id() -> uuid.UUID:
    """Return an id that sorts after every earlier one of this process, and cannot be guessed.

    The 12 bits after the milliseconds are their fraction (RFC 9562, 6.2, method 3); 62 are random.
    """
    global _last  # noqa: PLW0603 - the order is a promise of the process, not of an object
    with _lock:
        milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
        _last = max(_last + 1, milliseconds << 12 | nanoseconds * 4096 // 1_000_000)
        stamp = _last
    high = (stamp >> 12) << 16 | 0x7000 | stamp & 0xFFF
    low = 0b10 << 62 | secrets.randbits(62)
    return uuid.UUID(int=high << 64 | low)
