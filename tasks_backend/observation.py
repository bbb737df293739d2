"""The former name of `tasks_backend.http.request_record`, for plugins that import it."""

import warnings

from tasks_backend.http.request_record import DatabaseCall, RequestRecord, get_record

Observation, Exchange, current = RequestRecord, DatabaseCall, get_record

__all__ = ["Exchange", "Observation", "current"]

warnings.warn(
    "tasks_backend.observation is now tasks_backend.http.request_record",
    DeprecationWarning,
    stacklevel=2,
)
