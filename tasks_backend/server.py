"""The former name of `tasks_backend.serving.server`, for deployments that use it."""

from tasks_backend.former_names import warn_of_former_name
from tasks_backend.serving.server import application

__all__ = ["application"]

warn_of_former_name("tasks_backend.server", "tasks_backend.serving.server")
