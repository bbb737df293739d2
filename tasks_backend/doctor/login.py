"""The login at the database, and what it would need."""

from dataclasses import dataclass

from tasks_backend.doctor.findings import shown


@dataclass(frozen=True)
class Login:
    """Who is connected, and what that login may do."""

    name: str
    is_superuser: bool
    app_role: str | None
    """The role that was made for the service, if there is one."""
    role: str | None
    """The role that the service chooses for it, or None if the service refuses it."""

    @property
    def remedy(self) -> str:
        """What gives it what it lacks, be it rights or the policies' bounds."""
        if self.app_role is None:
            return "use the login that migrated the database, or one without BYPASSRLS"
        name = shown(self.name).replace('"', '""')
        return f'have an administrator run GRANT {self.app_role} TO "{name}"'
