"""A secure, persistent, multi-user task API: the public names.

Each name is imported at its first use, so that commands and shell completion start without the
web framework.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from tasks_backend._version import __version__

if TYPE_CHECKING:
    from tasks_backend.app import create_app
    from tasks_backend.db.database import OwnRows
    from tasks_backend.db.failures import ConstraintViolation
    from tasks_backend.db.policy_statements import row_level_security
    from tasks_backend.db.statements import statement
    from tasks_backend.errors import ApiError
    from tasks_backend.jobs.context import JobContext
    from tasks_backend.openapi.describe import problems
    from tasks_backend.plugin import Job, Plugin, PluginError
    from tasks_backend.serving.log_format import configure_logging
    from tasks_backend.settings import Settings, SettingsError
    from tasks_backend.settings.of_plugin import PluginSettings

__all__ = [
    "ApiError",
    "ConstraintViolation",
    "Job",
    "JobContext",
    "OwnRows",
    "Plugin",
    "PluginError",
    "PluginSettings",
    "Settings",
    "SettingsError",
    "__version__",
    "configure_logging",
    "create_app",
    "problems",
    "row_level_security",
    "statement",
]

_MODULES = {
    "ApiError": "tasks_backend.errors",
    "ConstraintViolation": "tasks_backend.db.failures",
    "Job": "tasks_backend.plugin",
    "JobContext": "tasks_backend.jobs.context",
    "OwnRows": "tasks_backend.db.database",
    "Plugin": "tasks_backend.plugin",
    "PluginError": "tasks_backend.plugin",
    "PluginSettings": "tasks_backend.settings.of_plugin",
    "Settings": "tasks_backend.settings",
    "SettingsError": "tasks_backend.settings",
    "configure_logging": "tasks_backend.serving.log_format",
    "create_app": "tasks_backend.app",
    "problems": "tasks_backend.openapi.describe",
    "row_level_security": "tasks_backend.db.policy_statements",
    "statement": "tasks_backend.db.statements",
}


if not TYPE_CHECKING:  # type checkers read the imports above

    def __getattr__(name: str) -> object:
        """Import a public name at its first use (PEP 562)."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_MODULES[name]), name)
