"""The app of docs/clients.md in a real Next.js, which is also the Better Auth server."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from better_auth.programs import AuthServer, Deployment

from typescript.project import QUIET, Project

BUILD_TIMEOUT = 600  # seconds


@dataclass(frozen=True)
class Website:
    """The running app."""

    deployment: Deployment
    app: AuthServer

    def service(self) -> AbstractContextManager[str]:
        """Run the service for the app until the block ends."""
        origin = self.app.origin
        return self.deployment.tasks_backend(BETTER_AUTH_URL=self.app.url, CORS_ORIGINS=origin)


@contextmanager
def website_of(deployment: Deployment, project: Project) -> Iterator[Website]:
    """`next build` and `next start`, with the variables of such an app's .env."""
    environment = {
        **QUIET,
        **deployment.auth_environment,
        "NEXT_PUBLIC_TASKS_API_URL": deployment.api,
    }
    project.run("npm", "run", "build", timeout=BUILD_TIMEOUT, **environment)
    origin, port = deployment.auth_origin, str(deployment.auth_port)
    command = ["node", "../node_modules/next/dist/bin/next", "start", "..", "-H", "127.0.0.1"]
    mount = f"{origin}/api/auth"
    with deployment.running("next", [*command, "-p", port], environment, f"{mount}/ok") as log:
        yield Website(deployment, AuthServer(origin, origin, mount, log))
