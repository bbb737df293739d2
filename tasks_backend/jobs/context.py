"""What a job gets: the plugin's own tables, or one user's rows."""

from collections.abc import Mapping
from typing import Any, TypeVar

from tasks_backend.auth.tokens import is_subject
from tasks_backend.db.connection import Row
from tasks_backend.db.database import CallerDatabase, Database
from tasks_backend.db.statements import JOB_MARK, Statement
from tasks_backend.http.caller import Caller
from tasks_backend.plugin import Plugin
from tasks_backend.settings.of_plugin import PluginSettings

_Settings = TypeVar("_Settings", bound=PluginSettings)


def caller_of(plugin: Plugin, deadline: float) -> Caller:
    """Return the identity of a plugin's jobs, which is no user's (decision 0023)."""
    return Caller(f"{JOB_MARK}{plugin.schema}", deadline, counts_as_use=False)


class JobContext:
    """One run of a job: access to the database until the run's time is over."""

    def __init__(
        self,
        database: Database,
        plugin: Plugin,
        deadline: float,
        settings: Mapping[type[PluginSettings], PluginSettings],
    ) -> None:
        self.deadline = deadline
        """When the run is cancelled, on the event loop's clock."""
        self._database = database
        self._caller = caller_of(plugin, deadline)
        self._settings = settings

    async def run(self, statement: Statement, /, **parameters: Any) -> list[Row]:
        """Send one statement as the plugin's jobs.

        It sees all users' rows of the plugin's tables that `row_level_security(..., jobs=...)` opens,
        and no other rows. Errors: see `Database.run`.
        """
        return await self._database.run(statement, self._caller, **parameters)

    def as_user(self, user_id: str) -> CallerDatabase:
        """Return the database limited to one user's rows, as in a request of that user.

        Raises ValueError for a text that no token may have as its subject.
        """
        if not is_subject(user_id):
            raise ValueError("this is no user's id")
        caller = Caller(user_id, self.deadline, counts_as_use=False)
        return CallerDatabase(self._database, caller)

    def settings(self, kind: type[_Settings]) -> _Settings:
        """Return the plugin's settings. Raises LookupError if no plugin has declared them."""
        settings = self._settings[kind]
        assert isinstance(settings, kind)  # noqa: S101 - by its class
        return settings
