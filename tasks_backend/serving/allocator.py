"""Return free memory to the system; glibc's allocator keeps most of it.

Does nothing under another C library.
"""

import ctypes
import threading
import time
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
THRESHOLD = 128 * 1024  # bytes; glibc's initial value
INTERVAL = 5.0  # seconds between two calls of malloc_trim


def give_memory_back() -> None:
    """Keep glibc's thresholds at their initial value, and call malloc_trim in a thread.

    glibc raises both thresholds when the first large block is freed. After a minute of 4 MB pages, a
    worker kept 49 MiB, but 5 MiB with fixed thresholds. Only malloc_trim returns free pages below used
    ones: after a siege, a worker kept 15 MiB without it, and 5 MiB with it.
    """
    try:
        glibc = ctypes.CDLL(None)
        glibc.mallopt(_M_MMAP_THRESHOLD, THRESHOLD)
        glibc.mallopt(_M_TRIM_THRESHOLD, THRESHOLD)
        threading.Thread(target=_trim, args=(glibc.malloc_trim,), daemon=True).start()
    except (AttributeError, OSError, TypeError):
        return


def _trim(malloc_trim: Any) -> None:
    while True:
        time.sleep(INTERVAL)
        malloc_trim(0)
