"""How the log looks: a line that a person reads in a terminal, JSON for a machine elsewhere."""

import os
import sys
from typing import Any

import orjson
import structlog


def config(level: str, form: str) -> dict[str, Any]:
    """Return a `logging.config.dictConfig` for the service and for uvicorn, on standard error.

    `form` is `text`, `json`, or `auto`: text if standard error is a terminal.
    """
    if form == "auto":
        form = "text" if sys.stderr.isatty() else "json"
    logger = {"handlers": ["stderr"], "level": level.upper(), "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"log": {"()": f"{__name__}.formatter", "form": form}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "log"}},
        "loggers": {"tasks_backend": logger, "uvicorn": logger},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
    }


def formatter(form: str) -> structlog.stdlib.ProcessorFormatter:
    """Return the formatter of this form."""
    common: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        _without_uvicorns_colours,
        structlog.processors.TimeStamper(fmt="iso"),
    ]
    if form == "json":
        last: list[structlog.typing.Processor] = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(lambda line, **_: orjson.dumps(line, str).decode()),
        ]
    else:
        # A traceback with the values of variables, structlog's default, could show a token.
        last = [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty() and not os.environ.get("NO_COLOR"),
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
    return structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        foreign_pre_chain=common,
    )


def _without_uvicorns_colours(
    logger: object,  # noqa: ARG001 - structlog's signature
    name: str,  # noqa: ARG001
    line: structlog.typing.EventDict,
) -> structlog.typing.EventDict:
    line.pop("color_message", None)
    return line
