"""A thread writes the log lines: a slow or stopped reader never blocks the service."""

import contextlib
import logging
import os
import signal
import sys
import time
from multiprocessing.util import Finalize
from threading import Event, Lock, Thread
from types import FrameType

MAX_BUFFERED = 1024 * 1024  # bytes of lines that wait to be written; further lines are dropped
WRITE_INTERVAL = 0.02  # seconds in which lines are collected for one write
FLUSH_TIMEOUT = 1.0  # seconds that a shutdown waits for the reader
STANDARD_ERROR = 2


class BackgroundHandler(logging.Handler):
    """Writes formatted lines to standard error, in order and without blocking.

    When more than `MAX_BUFFERED` bytes wait, lines are dropped; one line gives their number as
    soon as the reader reads again.
    """

    def __init__(self, descriptor: int = STANDARD_ERROR) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._start_empty()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._start_empty)

    def _start_empty(self) -> None:
        """Start without lines and without a thread.

        Also in a forked process: threads do not survive a fork, and the parent writes its lines itself.
        """
        self._buffer_lock = Lock()  # `logging.shutdown` holds the handler's own lock in a flush
        self._lines: list[bytes] = []
        self._size = 0
        self._dropped = 0
        self._has_lines = Event()
        self._is_empty = Event()
        self._is_empty.set()
        self._thread: Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Buffer a line."""
        try:
            line = f"{self.format(record)}\n".encode(errors="backslashreplace")
        except Exception:  # noqa: BLE001 - like the standard library's handlers
            self.handleError(record)
            return
        with self._buffer_lock:
            if self._size + len(line) > MAX_BUFFERED:
                self._dropped += 1
                return
            self._lines.append(line)
            self._size += len(line)
            self._is_empty.clear()
            self._has_lines.set()
        if self._thread is None:
            self._thread = Thread(target=self._run, name="log", daemon=True)
            self._thread.start()

    def flush(self) -> None:
        """Wait until all lines are written, for at most `FLUSH_TIMEOUT`."""
        self._is_empty.wait(FLUSH_TIMEOUT)

    def close(self) -> None:
        """Flush the buffer. Called at the end of the process."""
        self.flush()
        super().close()

    def _run(self) -> None:
        while True:
            self._has_lines.wait()
            time.sleep(WRITE_INTERVAL)
            with self._buffer_lock:
                lines, self._lines = self._lines, []
                dropped, self._dropped = self._dropped, 0
                self._has_lines.clear()
            data = b"".join(lines)
            self._write(data + self._dropped_line(dropped) if dropped else data)
            with self._buffer_lock:
                self._size -= len(data)
                if not self._lines:
                    self._is_empty.set()

    def _write(self, data: bytes) -> None:
        """Write all data, without a timeout; drop it if the reader has closed."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:  # another process made the shared pipe non-blocking
                time.sleep(WRITE_INTERVAL)
            except OSError:
                return

    def _dropped_line(self, dropped: int) -> bytes:
        record = logging.makeLogRecord(
            {
                "name": "tasks_backend",
                "levelno": logging.WARNING,
                "levelname": "WARNING",
                "msg": "%d log lines were dropped: nobody read them in time",
                "args": (dropped,),
            }
        )
        return f"{self.format(record)}\n".encode(errors="backslashreplace")


def standard_error() -> BackgroundHandler:
    """Return the handler of a server process, which also flushes at a SIGTERM.

    uvicorn ends a process by the signal that stopped it, and Python then flushes nothing.
    """
    handler = BackgroundHandler()
    Finalize(None, handler.flush, exitpriority=0)  # forked, multiprocessing's ends without atexit
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        with contextlib.suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGTERM, _flush_and_end)
    return handler


def _flush_and_end(number: int, _frame: FrameType | None) -> None:
    logging.shutdown()
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)


def open_standard_files() -> None:
    """Open the standard descriptors that are closed at the start (`2>&-`).

    Otherwise a socket would get the number, and a client would receive the log.
    """
    for descriptor in range(STANDARD_ERROR + 1):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # POSIX: the lowest free number
    for descriptor, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, mode, closefd=False))
