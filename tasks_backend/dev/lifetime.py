"""When the processes of `dev` end. PostgreSQL ends with them: see guard.py.

a stop signal     requests have 2 s, the process has 4 s
`dev` is gone     the process that serves ends at once
the parent of `dev --with-parent` is gone    like a stop signal
"""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from threading import Thread, Timer

SHUTDOWN_TIMEOUT = 2  # seconds for running requests after a stop signal
STOP_TIMEOUT = 4.0  # seconds until the process ends, even if a plugin or a thread hangs
_PARENT_INTERVAL = 0.5  # seconds between two looks at the parent


def exit_on_sigterm() -> None:
    """Let SIGTERM end this process in order: its default would skip all clean-up."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def end_with_parent() -> None:
    """Send this process SIGTERM when the process that started it is gone."""
    parent = os.getppid()

    def wait() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_INTERVAL)
        os.kill(os.getpid(), signal.SIGTERM)

    _in_background(wait)


def end_in_time() -> None:
    """Limit the time after a stop signal; end at once when `dev` is gone.

    Call it in the process that serves, after the server has set its signal handlers.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _with_limit(signal.getsignal(number)))
    dev = multiprocessing.parent_process()
    if dev is not None:

        def wait() -> None:
            dev.join()
            os._exit(1)

        _in_background(wait)


def _with_limit(handler: object) -> Callable[..., None]:
    def handle(*arguments: object) -> None:
        limit = Timer(STOP_TIMEOUT, os._exit, (1,))
        limit.daemon = True
        limit.start()
        if callable(handler):
            handler(*arguments)

    return handle


def _in_background(work: Callable[[], None]) -> None:
    Thread(target=work, daemon=True).start()
