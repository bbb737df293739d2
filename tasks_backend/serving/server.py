"""Runs the service with uvicorn."""

import contextlib
import gc
import logging
import logging.config
import signal
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess

from tasks_backend.app import create_app
from tasks_backend.compatibility import overrides, require_attributes
from tasks_backend.plugin import PluginError, load_plugin_settings, load_plugins
from tasks_backend.serving.addresses import require_free, unix_socket
from tasks_backend.serving.allocator import give_memory_back
from tasks_backend.serving.http_protocol import Protocol
from tasks_backend.serving.log_format import configure_logging, logging_config
from tasks_backend.serving.startup_log import log_start
from tasks_backend.settings import Settings, SettingsError, environment, load
from tasks_backend.settings.of_plugin import shown

logger = logging.getLogger("tasks_backend.server")

SHUTDOWN_TIMEOUT = 15  # seconds that running requests may take after the stop signal
LISTENING_SOCKETS = 16  # connections accepted per turn of the loop: uvloop accepts one per socket
KEEP_ALIVE = 75  # idle seconds; more than a load balancer's usual 60, which must close first
WORKER_ANSWER = 30  # seconds until a silent worker is killed; on a busy machine 5 were too few


class NotStarted(Exception):
    """The application could not be started; the log says why."""


HTTP: dict[str, Any] = {"http": Protocol, "lifespan": "on", "server_header": False, "ws": "none"}
"""uvicorn's options that affect clients."""


def application() -> FastAPI:
    """Return the service for a process of its own, under any ASGI server; its log is set up.

    Objects made at the start stay until the end, so the garbage collector skips them: its longest
    pause was 60 ms with them (decision 0013).
    """
    ignored = environment.remove_libpq_variables()
    environment.add_file()
    try:
        settings: Settings = load()
        configure_logging(settings)
        log_start(settings, ignored, _settings_of_plugins(settings))
        app = create_app(settings)
    except (SettingsError, PluginError) as error:  # in a new worker; the command checks before
        if not logger.hasHandlers():  # the settings that say how are not known
            logging.config.dictConfig(logging_config("info", "auto"))
        logger.error("the service does not start: %s", "; ".join(str(error).splitlines()))  # noqa: TRY400 - no traceback
        raise SystemExit(STARTUP_FAILURE) from None
    except Exception:
        logger.exception("the service does not start, because of an unexpected error")
        raise SystemExit(STARTUP_FAILURE) from None
    give_memory_back()
    gc.collect()
    gc.freeze()
    return app


def _settings_of_plugins(settings: Settings) -> dict[str, object]:
    """Return what the log shows of them: nothing if they are wrong, which create_app() reports."""
    try:
        plugins = load_plugins(settings.plugins)
        found = load_plugin_settings(plugins)
    except PluginError:
        return {}
    return {
        name: value
        for plugin in plugins
        if plugin.settings is not None
        for name, value in shown(found[plugin.settings], plugin.prefix).items()
    }


def run(
    factory: str,
    *,
    host: str,
    port: int,
    uds: Path | None = None,
    log_level: str,
    log_format: str = "auto",
    shutdown_timeout: int = SHUTDOWN_TIMEOUT,
    metrics_of_one: bool = False,
    **options: Any,
) -> None:
    """Serve a factory's application until a stop signal. Raises PortTaken or NotStarted.

    With `uds`, listen at this Unix socket and not at `host` and `port`. `metrics_of_one` says that
    the workers do not share their metrics, which is logged.
    """
    if uds is None:
        require_free(host, port)
    options |= HTTP | {
        "factory": True,
        "host": host,
        "port": port,
        "access_log": False,  # it would log query strings, in which a client may send its token
        "log_config": logging_config(log_level, log_format),
        "log_level": log_level,
        "timeout_keep_alive": KEEP_ALIVE,
        "timeout_graceful_shutdown": shutdown_timeout,
        "timeout_worker_healthcheck": WORKER_ANSWER,
    }
    if options.get("reload"):
        uvicorn.run(factory, **options)
        return
    config = uvicorn.Config(factory, **options)
    if metrics_of_one:
        logger.warning(
            "each scrape of /metrics shows one worker only: set PROMETHEUS_MULTIPROC_DIR to an"
            " empty directory that the workers share"
        )
    listening = config.bind_socket() if uds is None else unix_socket(uds)
    sockets = [listening, *(listening.dup() for _ in range(LISTENING_SOCKETS - 1))]
    if config.workers > 1:
        workers = Workers(config, sockets)
        workers.run()
        started = all(worker.exitcode != STARTUP_FAILURE for worker in workers.processes)
    else:
        server = uvicorn.Server(config)
        with contextlib.suppress(KeyboardInterrupt, SystemExit):  # raised after a failure
            server.run(sockets)
        started = server.started
    if not started:
        raise NotStarted("the service did not start, for the reason above")


require_attributes("uvicorn", Multiprocess, "processes", "sockets")


@overrides("uvicorn", Multiprocess, "keep_subprocess_alive", "terminate_all")
class Workers(Multiprocess):
    """uvicorn's supervisor, with a warning for a dead worker, and closed sockets after a stop."""

    def keep_subprocess_alive(self) -> None:
        """Replace each dead worker and log a warning. A worker that does not answer is killed."""
        before = list(self.processes)
        super().keep_subprocess_alive()
        for worker, current in zip(before, self.processes, strict=True):
            if current is not worker:
                logger.warning(
                    "worker %s died (%s); another one starts", worker.pid, _end(worker.exitcode)
                )

    def terminate_all(self) -> None:
        """Close the sockets and stop all workers. An open socket would take connections that no
        worker accepts; they would be lost when this process ends.
        """
        for listening in self.sockets:
            listening.close()
        super().terminate_all()


def _end(exit_code: int | None) -> str:
    """Return how a process ended; a negative exit code is a signal."""
    if exit_code is not None and exit_code < 0:
        return signal.Signals(-exit_code).name
    return f"exit code {exit_code}"
