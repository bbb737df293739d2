"""The servers, each with its documented command line."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from servers.programs import program

APPLICATION = "tasks_backend.serving.server:application"
PROTOCOL = "tasks_backend.serving.http_protocol:Protocol"


@dataclass(frozen=True)
class Kind:
    """One way to run the service. `command` has `{app}` and `{port}` or `{socket}`.

    `differs` says for a check why it does not hold; it must then fail.
    """

    name: str
    distribution: str
    command: str
    http2: bool = False
    prefix: str = ""
    stops_listening: bool = True
    """Whether it refuses connections while it stops."""
    files: Mapping[str, str] = field(default_factory=dict)
    differs: Mapping[str, str] = field(default_factory=dict)
    remark: str = ""

    def arguments(self, address: Mapping[str, object]) -> list[str]:
        """Return the command line for an address."""
        program, *rest = self.command.format(app=APPLICATION, protocol=PROTOCOL, **address).split()
        return [str(Path(sys.executable).parent / program), *rest]


LINES = "test_all_lines_have_the_format"
OWN_LINES = {LINES: "The lines of its main process have its own format."}
NOT_TOLD = "While it stops, it accepts connections that nobody answers: let the proxy know first."
UPGRADE = "It reads the body of a request that offers an upgrade as the next request."


def _hypercorn(name: str, bind: str, *, http2: bool = False) -> Kind:
    options = "--error-logfile /dev/null --graceful-timeout 15"  # else its lines come twice
    command = f"hypercorn {{app}}() {options} -b {bind}"
    return Kind(name, "hypercorn", command, http2, stops_listening=False, remark=NOT_TOLD)


def _granian(name: str, address: str, *, http2: bool = False) -> Kind:
    version = "2" if http2 else "1"
    command = f"granian --factory {{app}} --interface asgi --http {version} {address}"
    return Kind(name, "granian", command, http2, differs=OWN_LINES)


def _gunicorn(name: str, worker: str, bind: str) -> Kind:
    return Kind(name, "gunicorn", f"gunicorn {{app}}() -k {worker} -b {bind}", differs=OWN_LINES)


def _uvicorn(name: str, options: str, application: str = "--factory {app}", **fields: Any) -> Kind:
    return Kind(name, "uvicorn", f"uvicorn {application} {options}", **fields)


PORT, LOOPBACK = "--port {port}", "127.0.0.1:{port}"
SERVERS = (
    Kind("`serve`", "tasks-backend", "tasks-backend serve --port {port}"),
    Kind("`serve`, IPv6", "tasks-backend", "tasks-backend serve --host [::1] --port {port}"),
    Kind("`serve`, Unix socket", "tasks-backend", "tasks-backend serve --uds {socket}"),
    _uvicorn("uvicorn", "--http {protocol} --port {port}"),
    _uvicorn("uvicorn, Unix socket", "--http {protocol} --uds {socket}"),
    _uvicorn(
        "uvicorn, in a larger application",
        "--http {protocol} --port {port}",
        "parent:app",
        prefix="/todo",
        files={"parent.py": program("parent.py")},
        differs={"test_a_failed_start_is_one_sentence": "A wrong setting raises `SettingsError`."},
    ),
    _uvicorn(
        "uvicorn, its own protocol",
        "--port {port}",
        differs={"test_an_offer_to_upgrade_is_ignored": UPGRADE},
    ),
    _gunicorn("gunicorn, uvicorn's worker", "uvicorn_worker.UvicornH11Worker", LOOPBACK),
    _gunicorn("gunicorn", "asgi", LOOPBACK),
    _gunicorn("gunicorn, Unix socket", "asgi", "unix:{socket}"),
    _hypercorn("hypercorn", LOOPBACK),
    _hypercorn("hypercorn, HTTP/2", LOOPBACK, http2=True),
    _hypercorn("hypercorn, Unix socket", "unix:{socket}"),
    _granian("granian", PORT),
    _granian("granian, HTTP/2", PORT, http2=True),
    _granian("granian, Unix socket", "--uds {socket}"),
)
