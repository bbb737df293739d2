"""Log lines are written by a thread: a reader that is slow or stopped never blocks the service."""

import contextlib
import logging
import os
import signal
import sys
import time
from threading import Event, Lock, Thread
from types import FrameType

MAX_BUFFERED = 1024 * 1024  # bytes of lines that wait to be written; what comes then is dropped
WRITE_INTERVAL = 0.02  # seconds in which lines are collected, to be written in one piece
FLUSH_TIMEOUT = 1.0  # seconds that a stop waits for the reader
STANDARD_ERROR = 2


class BackgroundHandler(logging.Handler):
    """Writes formatted lines to standard error, in order, without ever waiting for it.

    When more than `MAX_BUFFERED` bytes wait, lines are dropped and counted; one line says how many
    as soon as the reader reads again.
    """

    def __init__(self, descriptor: int = STANDARD_ERROR) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._buffer = Lock()  # not the handler's own, which `logging.shutdown` holds in a flush
        self._lines: list[bytes] = []
        self._size = 0
        self._dropped = 0
        self._some = Event()
        self._none = Event()
        self._none.set()
        self._thread: Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line."""
        try:
            line = f"{self.format(record)}\n".encode(errors="backslashreplace")
        except Exception:  # noqa: BLE001 - as every handler of the standard library has it
            self.handleError(record)
            return
        with self._buffer:
            if self._size + len(line) > MAX_BUFFERED:
                self._dropped += 1
                return
            self._lines.append(line)
            self._size += len(line)
            self._none.clear()
            self._some.set()
        if self._thread is None:
            self._thread = Thread(target=self._run, name="log", daemon=True)
            self._thread.start()

    def flush(self) -> None:
        """Wait until all lines are written, but not for a reader that does not read."""
        self._none.wait(FLUSH_TIMEOUT)

    def close(self) -> None:
        """Flush what there is. Called at the end of the process."""
        self.flush()
        super().close()

    def _run(self) -> None:
        while True:
            self._some.wait()
            time.sleep(WRITE_INTERVAL)
            with self._buffer:
                lines, self._lines = self._lines, []
                dropped, self._dropped = self._dropped, 0
                self._some.clear()
            data = b"".join(lines)
            self._write(data + self._loss(dropped) if dropped else data)
            with self._buffer:
                self._size -= len(data)
                if not self._lines:
                    self._none.set()

    def _write(self, data: bytes) -> None:
        """Write it all, however long that takes; where nobody reads any more, forget it."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:  # whoever shares the pipe made it non-blocking
                time.sleep(WRITE_INTERVAL)
            except OSError:
                return

    def _loss(self, dropped: int) -> bytes:
        text = "%d log lines were dropped: nobody read them in time"
        record = logging.makeLogRecord(
            {
                "name": "tasks_backend",
                "levelno": logging.WARNING,
                "levelname": "WARNING",
                "msg": text,
                "args": (dropped,),
            }
        )
        return f"{self.format(record)}\n".encode(errors="backslashreplace")


def standard_error() -> BackgroundHandler:
    """Return the handler of a process that serves, with its last lines written at a SIGTERM.

    uvicorn ends a process by the signal that it was stopped with, and Python then flushes nothing.
    """
    handler = BackgroundHandler()
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        with contextlib.suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGTERM, _flush_and_end)
    return handler


def _flush_and_end(number: int, _frame: FrameType | None) -> None:
    logging.shutdown()
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)


def open_standard_files() -> None:
    """Give the process the standard descriptors that it was started without (`2>&-`).

    Otherwise the next socket would get the number, and a client the log.
    """
    for descriptor in range(STANDARD_ERROR + 1):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # POSIX gives the lowest number that is free
    for name, descriptor in (("stdout", 1), ("stderr", STANDARD_ERROR)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, "w", closefd=False))
