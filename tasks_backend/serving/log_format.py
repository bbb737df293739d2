"""The log's formats: text in a terminal, JSON elsewhere.

The formatters are our own because each request pays for its line: structlog's take 150 µs of a
request's 650 µs, these 30 µs (decision 0011).
"""

import logging
import logging.config
import os
import sys
from datetime import UTC, datetime
from typing import Any

import orjson

from tasks_backend.settings import Settings, load

_SERVERS = ("uvicorn", "gunicorn.error", "hypercorn.error", "_granian")
_CHILDREN = ("uvicorn.error", "uvicorn.asgi")  # uvicorn gives the first a level of its own
_ACCESS_LOGS = ("uvicorn.access", "gunicorn.access", "hypercorn.access", "granian.access")
_STANDARD_FIELDS = {*vars(logging.makeLogRecord({})), "message", "asctime", "color_message"}
_COLOURS = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31m"}
_RESET = "\x1b[0m"


def configure_logging(settings: Settings | None = None) -> None:
    """Set up the log of this process as `serve` does: LOG_LEVEL, LOG_FORMAT, standard error.

    Also for the messages of the server that runs the application: uvicorn, gunicorn, hypercorn or
    granian. Their access logs are switched off, because a client may send its token in a query;
    the service writes a line for each request. Without settings, the environment and `.env` are
    read. Raises SettingsError.
    """
    settings = settings or load()
    logging.config.dictConfig(logging_config(settings.log_level, settings.log_format))
    for name in _ACCESS_LOGS:
        logging.getLogger(name).disabled = True  # a server may add handlers later


def logging_config(level: str, form: str) -> dict[str, Any]:
    """Return a `logging.config.dictConfig` for the service and its server, on standard error.

    `form` is `text`, `json`, or `auto`: text if standard error is a terminal.
    """
    if form == "auto":
        form = "text" if sys.stderr.isatty() else "json"
    logger = {"handlers": ["stderr"], "level": level.upper(), "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "log": {"()": f"{__name__}.{'TextFormatter' if form == 'text' else 'JsonFormatter'}"}
        },
        "handlers": {
            "stderr": {
                "()": "tasks_backend.serving.log_handler.standard_error",
                "formatter": "log",
                "level": level.upper(),  # a server may give its loggers another one
            }
        },
        "loggers": {
            **dict.fromkeys(("tasks_backend", *_SERVERS), logger),
            **{key: {"handlers": [], "level": "NOTSET", "propagate": True} for key in _CHILDREN},
            **{key: {"handlers": [], "propagate": False} for key in _ACCESS_LOGS},
        },
        "root": {"handlers": ["stderr"], "level": "WARNING"},
    }


class JsonFormatter(logging.Formatter):
    """One JSON object a line: timestamp, level, logger, event, and the extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line. The traceback is text in `exception`, without values of variables."""
        line = {
            "timestamp": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **_extra_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, str, orjson.OPT_UTC_Z).decode()


class TextFormatter(logging.Formatter):
    """Time, level, event, and the extra fields; coloured in a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the traceback below it if there is one."""
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        extra = " ".join(
            f"{name}={value}" for name, value in _extra_fields(record).items() if value is not None
        )
        line = f"{time} {record.levelname.lower():7} {record.getMessage()} {extra}".rstrip()
        colour = _COLOURS.get(record.levelname)
        if colour and sys.stderr.isatty() and not os.environ.get("NO_COLOR"):
            line = f"{colour}{line}{_RESET}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _extra_fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields that the call passed as `extra`."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD_FIELDS}
