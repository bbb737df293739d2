"""A secure, persistent, multi-user task API. This module is its public door."""

from tasks_backend._version import __version__
from tasks_backend.app import create_app
from tasks_backend.db.database import OwnRows
from tasks_backend.db.policy_statements import row_level_security
from tasks_backend.db.statements import statement
from tasks_backend.plugin import Plugin, PluginError
from tasks_backend.settings import Settings, SettingsError

__all__ = [
    "OwnRows",
    "Plugin",
    "PluginError",
    "Settings",
    "SettingsError",
    "__version__",
    "create_app",
    "row_level_security",
    "statement",
]
