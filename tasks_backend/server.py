"""The former name of `tasks_backend.serving.server`, for deployments that use it."""

import warnings

from tasks_backend.serving.server import application

__all__ = ["application"]

warnings.warn(
    "tasks_backend.server is now tasks_backend.serving.server", DeprecationWarning, stacklevel=2
)
