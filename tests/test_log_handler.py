"""The log never blocks the service: lines wait in a bounded buffer; dropped ones are counted."""

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import httpx2
import pytest
from support.commands import COMMAND, free_port
from support.programs import Program, running
from support.waiting import answers

from tasks_backend.serving import log_handler
from tasks_backend.serving.log_format import JsonFormatter
from tasks_backend.serving.log_handler import BackgroundHandler
from tasks_backend.testing.waiting import until

pytestmark = pytest.mark.proves("FR-018")


class Reader:
    """A pipe for a log, and its reader."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        self.handler = BackgroundHandler(self.write_end)
        self.handler.setFormatter(JsonFormatter())
        self.logger = logging.getLogger(f"test.{id(self)}")
        self.logger.propagate = False
        self.logger.addHandler(self.handler)
        self.seen = b""

    def line(self, words: str) -> None:
        self.logger.warning(words)

    def read(self) -> None:
        self.seen += os.read(self.read_end, 1 << 16)

    def events(self) -> list[str]:
        """The events of all lines read so far."""
        return [json.loads(line)["event"] for line in self.seen.splitlines() if line]

    def close(self) -> None:
        self.logger.removeHandler(self.handler)
        for end in (self.read_end, self.write_end):
            with suppress(OSError):
                os.close(end)


@pytest.fixture
def reader() -> Iterator[Reader]:
    reader = Reader()
    yield reader
    reader.close()


def test_lines_are_complete_and_in_order(reader: Reader) -> None:
    for number in range(1_000):
        reader.line(f"line {number} \N{MONEY WITH WINGS}")

    def all_came() -> bool:
        reader.read()
        return reader.seen.count(b"\n") == 1_000

    until(all_came)
    assert reader.events() == [f"line {number} \N{MONEY WITH WINGS}" for number in range(1_000)]


def test_with_a_stopped_reader_lines_are_dropped_and_counted(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_handler, "MAX_BUFFERED", 200_000)
    for number in range(5_000):  # beyond the pipe, 64 KiB, and the buffer
        reader.line(f"{number} {'x' * 100}")

    def told() -> bool:
        reader.read()
        return b"lines were dropped" in reader.seen and reader.seen.endswith(b"\n")

    until(told)
    *events, loss = reader.events()
    numbers = [int(event.split()[0]) for event in events]
    assert numbers == list(range(len(numbers)))
    assert loss == f"{5_000 - len(numbers)} log lines were dropped: nobody read them in time"
    reader.line("again")

    def goes_on() -> bool:
        reader.read()
        return reader.events()[-1] == "again"

    until(goes_on)


def test_a_flush_waits_for_lines_but_not_for_a_stopped_reader(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader.line("first")
    reader.handler.flush()
    reader.read()
    assert reader.events() == ["first"]
    monkeypatch.setattr(log_handler, "FLUSH_TIMEOUT", 0.1)
    for _ in range(2_000):
        reader.line("x" * 100)
    reader.handler.flush()  # returns, although most of it is unread


def test_a_closed_pipe_causes_no_error(reader: Reader) -> None:
    os.close(reader.read_end)
    for number in range(10):
        reader.line(str(number))
        reader.handler.flush()


def test_a_line_that_cannot_be_formatted_is_reported_as_python_does(
    reader: Reader, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = {"msg": "%d", "args": ("no number",), "levelno": logging.WARNING}
    reader.handler.handle(logging.makeLogRecord(broken))
    assert "Logging error" in capsys.readouterr().err
    reader.line("next")
    reader.handler.flush()
    reader.read()
    assert reader.events() == ["next"]


@contextmanager
def piped(
    environment: dict[str, str], home: Path, workers: str
) -> Iterator[tuple[Program, httpx2.Client]]:
    """The service with a JSON log to a pipe that nobody reads, and a client."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    program = Program(
        [*COMMAND, "serve", "--port", str(port), "--workers", workers],
        home / "unused.log",
        os.environ | environment | {"LOG_FORMAT": "json"},
    )
    program.start(subprocess.PIPE)
    try:
        program.wait_for(lambda: answers(f"{base}/livez"), "the service to answer")
        with httpx2.Client(base_url=base, timeout=30) as client:
            yield program, client
    finally:
        program.kill()
        if program.process.stdout:
            program.process.stdout.close()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_service_with_an_unread_log_answers_and_stops(
    environment: dict[str, str], tmp_path: Path, workers: str
) -> None:
    """In 0.1: after about 190 requests everything hung, and SIGTERM had no effect."""
    with piped(environment, tmp_path, workers) as (program, client):
        for _ in range(1_500):  # about 350 bytes of log each; a pipe holds 64 KiB
            assert client.get("/livez").status_code == 200
        program.send(signal.SIGTERM)
        assert program.process.wait(60) in {0, -signal.SIGTERM}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_last_lines_are_written(
    environment: dict[str, str], tmp_path: Path, workers: str
) -> None:
    with piped(environment, tmp_path, workers) as (program, _):
        log = program.process.stdout
        assert log is not None
        read_until(log, "Application startup complete", int(workers))
        program.send(signal.SIGTERM)
        read_until(log, "Finished server process", int(workers))


def read_until(log: IO[bytes], words: str, times: int) -> None:
    """Read lines until so many have had these words. Fails at the end of the log."""
    for line in log:
        times -= json.loads(line)["event"].startswith(words)
        if times == 0:
            return
    pytest.fail(f"{times} times more was expected: {words}")


def test_a_service_without_standard_error_serves(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """`2>&-`: the next socket must not get file descriptor 2."""
    port = free_port()
    words = " ".join([*COMMAND, "serve", "--port", str(port)])
    closed = ["/bin/sh", "-c", f"exec {words} <&- >&- 2>&-"]
    url = f"http://127.0.0.1:{port}/livez"
    log = tmp_path / "unused.log"
    with running(closed, log, os.environ | environment, lambda: answers(url)) as program:
        descriptors = Path(f"/proc/{program.pid}/fd")
        if descriptors.is_dir():
            assert {(descriptors / str(number)).readlink() for number in range(3)} == {
                Path(os.devnull)
            }
    assert program.process.returncode in {0, -signal.SIGTERM}


def test_a_command_without_standard_error_works_silently(tmp_path: Path) -> None:
    words = " ".join([*COMMAND, "--version"])
    done = subprocess.run(
        ["/bin/sh", "-c", f"{words} 2>&-"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (done.returncode, bool(done.stdout.strip())) == (0, True)
