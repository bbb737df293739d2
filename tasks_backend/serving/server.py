"""How the service is served: uvicorn, with its own failures in our shape too."""

import contextlib
import gc
import logging
import socket
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess

from tasks_backend.app import create_app
from tasks_backend.serving.allocator import give_memory_back
from tasks_backend.serving.http_protocol import Protocol
from tasks_backend.serving.log_format import logging_config
from tasks_backend.settings import SettingsError

logger = logging.getLogger("tasks_backend.server")

SHUTDOWN_TIMEOUT = 15  # seconds that running requests are given when the service is told to stop
LISTENING_SOCKETS = (
    16  # connections that are taken in one turn of the loop: uvloop takes one for each socket
)
KEEP_ALIVE = 75  # seconds idle; more than the 60 of usual load balancers, who must hang up first
WORKER_START = 60  # seconds that a new worker may take on a busy machine before it is given up


class PortTaken(Exception):
    """Another process listens at the address."""


class NotStarted(Exception):
    """The application could not be started; the log says why."""


HTTP: dict[str, Any] = {"http": Protocol, "lifespan": "on", "server_header": False, "ws": "none"}
"""uvicorn's options that clients notice."""


def application() -> FastAPI:
    """Return the service for a process of its own.

    What is made at the start stays until the end, so the garbage collector need not go through it
    again and again: its longest pause was 60 ms (decision 0013).
    """
    try:
        app = create_app()
    except SettingsError as error:  # of a worker that replaces another; the command looks first
        logger.error("the service does not start: %s", error)  # noqa: TRY400 - it is a sentence
        raise SystemExit(STARTUP_FAILURE) from None
    give_memory_back()
    gc.collect()
    gc.freeze()
    return app


def run(
    factory: str, *, host: str, port: int, log_level: str, log_format: str = "auto", **options: Any
) -> None:
    """Serve the application of a factory until told to stop. Raises PortTaken or NotStarted."""
    require_free(host, port)
    options |= HTTP | {
        "factory": True,
        "host": host,
        "port": port,
        "access_log": False,  # it would log query strings, where a mistaken client may put its token
        "log_config": logging_config(log_level, log_format),
        "log_level": log_level,
        "timeout_keep_alive": KEEP_ALIVE,
        "timeout_graceful_shutdown": SHUTDOWN_TIMEOUT,
    }
    if options.get("reload"):
        uvicorn.run(factory, **options)
        return
    config = uvicorn.Config(factory, **options)
    listening = config.bind_socket()
    sockets = [listening, *(listening.dup() for _ in range(LISTENING_SOCKETS - 1))]
    if config.workers > 1:
        workers = Workers(config, sockets)
        workers.run()
        started = all(worker.exitcode != STARTUP_FAILURE for worker in workers.processes)
    else:
        server = uvicorn.Server(config)
        with contextlib.suppress(KeyboardInterrupt, SystemExit):  # its way to say that it failed
            server.run(sockets)
        started = server.started
    if not started:
        raise NotStarted("the service did not start, for the reason above")


class Workers(Multiprocess):
    """uvicorn's supervisor, which gives a new worker time and stops listening when it stops."""

    def restart_all(self) -> None:
        """Replace the workers. The usual bound, within which a worker has to say that it lives, is
        too short for one that starts on a busy machine.
        """
        usual = self.config.timeout_worker_healthcheck
        self.config.timeout_worker_healthcheck = WORKER_START
        super().restart_all()
        self.config.timeout_worker_healthcheck = usual

    def keep_subprocess_alive(self) -> None:
        """Replace the workers that died, and say so as a warning."""
        for worker in self.processes:
            if worker.exitcode not in {None, STARTUP_FAILURE}:
                logger.warning("worker %s died (exit code %s)", worker.pid, worker.exitcode)
        super().keep_subprocess_alive()

    def terminate_all(self) -> None:
        """Tell all workers to stop. A socket that is still open, with nobody to accept, would take
        connections that are lost when this process ends.
        """
        for listening in self.sockets:
            listening.close()
        super().terminate_all()


def require_free(host: str, port: int) -> None:
    """Raise PortTaken if somebody listens there already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortTaken(f"{host}:{port}: {error.strerror}") from error
