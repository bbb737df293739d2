"""The first line of a process in the log: versions, and the settings in effect without secrets."""

import logging
import os
import platform
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import psycopg2.extensions
from psycopg2.extensions import parse_dsn

from tasks_backend._version import __version__
from tasks_backend.auth import ed25519
from tasks_backend.db.classification import address, is_misparsed
from tasks_backend.settings import Settings

logger = logging.getLogger("tasks_backend.server")

_SECRET = {"log_salt"}
_SHOWN_PARAMETERS = ("sslmode", "sslrootcert", "channel_binding", "options", "target_session_attrs")


def log_start(settings: Settings, ignored: Sequence[str], plugins: dict[str, Any]) -> None:
    """Log what this process runs with. Each worker does: SIGHUP makes new ones read anew.

    `ignored` are the names of libpq's variables that were set; `plugins` the settings of plugins.
    """
    libpq = psycopg2.extensions.libpq_version()
    versions = {
        "version": __version__,
        "python": platform.python_version(),
        "libpq": f"{libpq // 10_000}.{libpq % 10_000}",
        "ed25519": ed25519.VERIFIER,
        "pid": os.getpid(),
    }
    logger.info("tasks_backend starts", extra=versions | shown_settings(settings) | plugins)
    if ignored:
        logger.info("ignored, since DATABASE_URL alone says how to connect: %s", ", ".join(ignored))


def shown_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings in effect, URLs without credentials; of a secret, whether it is set."""
    shown = settings.model_dump(exclude_none=True)
    shown |= {"jwt_issuer": settings.issuer, "jwt_audience": settings.audience}
    shown["jwks_url"] = settings.keys_url
    shown |= dict.fromkeys(_SECRET & shown.keys(), "set")
    for name in ("database_url", "database_url_unpooled"):
        if name in shown:
            shown[name] = _database(shown[name])
    for name, value in shown.items():
        if isinstance(value, str) and value.lower().startswith(("http://", "https://")):
            shown[name] = _without_credentials(value)
    return shown


def _database(url: str) -> str:
    """Return host, port, database and the parameters that decide how to connect."""
    if is_misparsed(url):
        return "cannot be split into its parts"
    parts = parse_dsn(url)
    parameters = [f"{name}={parts[name]}" for name in _SHOWN_PARAMETERS if name in parts]
    query = f"?{'&'.join(parameters)}" if parameters else ""
    return f"postgresql://{address(url)}/{parts.get('dbname', '')}{query}"


def _without_credentials(url: str) -> str:
    """Return a URL without user, password and query. Return a text without a host as it is."""
    parts = urlsplit(url)
    if not parts.netloc:
        return url
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
