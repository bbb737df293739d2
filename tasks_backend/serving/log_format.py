"""How the log looks: a line that a person reads in a terminal, JSON for a machine elsewhere.

The formatters are our own because each request pays for its line: structlog's take 150 µs of a
request's 650, these 30 (decision 0011).
"""

import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any

import orjson

_ORDINARY = {*vars(logging.makeLogRecord({})), "message", "asctime", "color_message"}
_COLOURS = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31m"}
_PLAIN = "\x1b[0m"


def logging_config(level: str, form: str) -> dict[str, Any]:
    """Return a `logging.config.dictConfig` for the service and for uvicorn, on standard error.

    `form` is `text`, `json`, or `auto`: text if standard error is a terminal.
    """
    if form == "auto":
        form = "text" if sys.stderr.isatty() else "json"
    logger = {"handlers": ["stderr"], "level": level.upper(), "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"log": {"()": f"{__name__}.{'Text' if form == 'text' else 'Json'}"}},
        "handlers": {
            "stderr": {"()": "tasks_backend.serving.log_handler.standard_error", "formatter": "log"}
        },
        "loggers": {"tasks_backend": logger, "uvicorn": logger},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
    }


class JsonFormatter(logging.Formatter):
    """One JSON object a line: timestamp, level, logger, event, and what the event brings along."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line. A traceback is text in `exception`, without values of variables."""
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
    """Time, level, event, and what the event brings along; coloured in a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the traceback below it if there is one."""
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        brought = " ".join(
            f"{name}={value}" for name, value in _extra_fields(record).items() if value is not None
        )
        line = f"{time} {record.levelname.lower():7} {record.getMessage()} {brought}".rstrip()
        colour = _COLOURS.get(record.levelname)
        if colour and sys.stderr.isatty() and not os.environ.get("NO_COLOR"):
            line = f"{colour}{line}{_PLAIN}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _extra_fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return what the call to the logger gave as `extra`."""
    return {name: value for name, value in vars(record).items() if name not in _ORDINARY}
