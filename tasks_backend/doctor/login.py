"""The database login, and what it needs."""

from dataclasses import dataclass

from tasks_backend.doctor.findings import printable


@dataclass(frozen=True)
class Login:
    """The login of the connection, and its rights."""

    name: str
    is_superuser: bool
    app_role: str | None
    """The role that was created for the service, if there is one."""
    role: str | None
    """The role that the service chooses for it, or None if the service refuses it."""

    @property
    def remedy(self) -> str:
        """What to do if the login lacks privileges or bypasses the policies."""
        if self.app_role is None:
            return "run `tasks-backend migrate`, which makes a role for it"
        name = printable(self.name).replace('"', '""')
        return f'have an administrator run GRANT {self.app_role} TO "{name}"'
