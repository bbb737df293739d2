"""The log never blocks the service: lines wait in a bounded buffer; dropped ones are counted."""

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest
from support.commands import COMMAND, free_port
from support.service import eventually

from tasks_backend import Settings
from tasks_backend.serving import log_handler
from tasks_backend.serving.log_format import JsonFormatter
from tasks_backend.serving.log_handler import BackgroundHandler

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

    eventually(all_came)
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

    eventually(told)
    *events, loss = reader.events()
    numbers = [int(event.split()[0]) for event in events]
    assert numbers == list(range(len(numbers)))
    assert loss == f"{5_000 - len(numbers)} log lines were dropped: nobody read them in time"
    reader.line("again")

    def goes_on() -> bool:
        reader.read()
        return reader.events()[-1] == "again"

    eventually(goes_on)


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


def environment(settings: Settings) -> dict[str, str]:
    return os.environ | {
        "DATABASE_URL": settings.database_url,
        "JWT_ISSUER": settings.issuer,
        "JWT_AUDIENCE": settings.audience,
        "JWKS_URL": settings.keys_url,
        "LOG_FORMAT": "json",
    }


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_service_with_an_unread_log_answers_and_stops(
    settings: Settings, tmp_path: Path, workers: str
) -> None:
    """In 0.1: after about 190 requests everything hung, and SIGTERM had no effect."""
    port = free_port()
    command = [*COMMAND, "serve", "--port", str(port), "--workers", workers]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, env=environment(settings), cwd=tmp_path
    )
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:

            def serves() -> bool:
                with suppress(httpx2.TransportError):
                    return client.get("/livez").status_code == 200
                return False

            eventually(serves)
            for _ in range(1_500):  # about 350 bytes of log each; a pipe holds 64 KiB
                assert client.get("/livez").status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in {0, -signal.SIGTERM}
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_last_lines_are_written(settings: Settings, tmp_path: Path, workers: str) -> None:
    port = free_port()
    command = [*COMMAND, "serve", "--port", str(port), "--workers", workers]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, env=environment(settings), cwd=tmp_path
    )

    def serves() -> bool:
        with suppress(httpx2.TransportError):
            return httpx2.get(f"http://127.0.0.1:{port}/livez").status_code == 200
        return False

    try:
        eventually(serves)
        process.terminate()
        _, log = process.communicate(timeout=60)
    finally:
        process.kill()
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert sum(event.startswith("Finished server process") for event in events) == int(workers)


def test_a_service_without_standard_error_serves(settings: Settings, tmp_path: Path) -> None:
    """`2>&-`: the next socket must not get file descriptor 2."""
    port = free_port()
    words = " ".join([*COMMAND, "serve", "--port", str(port)])
    process = subprocess.Popen(
        ["/bin/sh", "-c", f"exec {words} <&- >&- 2>&-"], env=environment(settings), cwd=tmp_path
    )
    try:

        def serves() -> bool:
            assert process.poll() is None
            with suppress(httpx2.TransportError):
                return httpx2.get(f"http://127.0.0.1:{port}/livez").status_code == 200
            return False

        eventually(serves)
        descriptors = Path(f"/proc/{process.pid}/fd")
        if descriptors.is_dir():
            assert {(descriptors / str(number)).readlink() for number in range(3)} == {
                Path(os.devnull)
            }
    finally:
        process.terminate()
        assert process.wait(60) in {0, -signal.SIGTERM}


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
