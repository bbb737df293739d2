"""The former name of `tasks_backend.http.request_record`, for plugins that import it."""

from tasks_backend.former_names import warn_of_former_name
from tasks_backend.http.request_record import DatabaseCall, RequestRecord, get_record

Observation, Exchange, current = RequestRecord, DatabaseCall, get_record

__all__ = ["Exchange", "Observation", "current"]

warn_of_former_name("tasks_backend.observation", "tasks_backend.http.request_record")
