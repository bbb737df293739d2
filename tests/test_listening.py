"""Addresses of `serve`: a Unix socket, and IPv6; and the log in any server's process."""

import json
import socket
import stat
import sys
from pathlib import Path

import pytest
from support.commands import invoked
from support.programs import attempt

from tasks_backend.serving.addresses import PortTaken, unix_socket

VARIABLES = {"DATABASE_URL": "postgresql://u@h/d", "BETTER_AUTH_URL": "https://app.example.com"}
LOG = """
import logging, os
from tasks_backend import Settings, configure_logging
servers = "uvicorn.error gunicorn.error hypercorn.error _granian".split()
access = "uvicorn.access gunicorn.access hypercorn.access granian.access".split()
for name in servers + access:  # as they set them up before they load an application
    logger = logging.getLogger(name)
    logger.addHandler(logging.StreamHandler())
    logger.setLevel("INFO")
    logger.propagate = False
configure_logging(Settings(_env_file=None, log_level="warning", log_format="json"))
for name in access:  # hypercorn does it later
    logging.getLogger(name).addHandler(logging.StreamHandler())
for name in [*servers, *access, "tasks_backend.requests"]:
    logging.getLogger(name).info("info")
    logging.getLogger(name).warning("warning")
if (child := os.fork()) == 0:  # the thread that writes is not forked
    logging.getLogger("tasks_backend").warning("forked")
    logging.shutdown()
    os._exit(0)
os.waitpid(child, 0)
"""


def test_the_log_is_the_same_in_any_servers_process(tmp_path: Path) -> None:
    """Finding H6: LOG_* was ignored, and query strings were logged."""
    done = attempt(sys.executable, "-c", LOG, directory=tmp_path, environment=VARIABLES)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    names = ["_granian", "gunicorn.error", "hypercorn.error", "tasks_backend.requests"]
    assert sorted((line["logger"], line["event"]) for line in lines) == sorted(
        [
            ("tasks_backend", "forked"),
            ("uvicorn.error", "warning"),
            *((n, "warning") for n in names),
        ]
    )


def test_a_unix_socket_replaces_only_a_file_without_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # whose own path may be too long for a socket
    path = Path("api.sock")
    with unix_socket(path) as first:
        first.listen()
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
        with pytest.raises(PortTaken, match="another process listens there"):
            unix_socket(path)
    with unix_socket(path) as second, socket.socket(socket.AF_UNIX) as client:
        second.listen()
        client.connect(str(path))
    Path("file").write_text("kept")
    for wrong, reason in (
        ("file", "it exists, and is no socket"),
        ("nowhere/api.sock", "No such file or directory"),
        ("x" * 120, "path too long"),
    ):
        with pytest.raises(PortTaken, match=reason):
            unix_socket(Path(wrong))
    assert Path("file").read_text() == "kept"


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_unusable_address_is_reported_in_one_line(tmp_path: Path, host: str) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = str(taken.getsockname()[1])
        done = invoked(tmp_path, "serve", "--host", host, "--port", port, **VARIABLES)
    assert (done.exit_code, done.output) == (1, f"error: [::1]:{port}: Address already in use\n")
    done = invoked(tmp_path, "serve", "--uds", "nowhere/x", **VARIABLES)
    assert (done.exit_code, done.output) == (1, "error: nowhere/x: No such file or directory\n")
