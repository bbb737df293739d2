"""A Next.js app from the code of the documents, with a client generated from this service."""

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

from support.programs import attempt, output

ROOT = Path(__file__).parents[2]
NEXT = Path(__file__).parent / "next"
BETTER_AUTH = ROOT / "tests/better_auth"
DOCUMENT = ROOT / "docs/clients.md"
CLIENT = "lib/tasks-api.ts"
PAYLOAD = "definePayload: () => ({})"
EXPIRED_FOR_SLEEPER = (
    "definePayload: ({ user }) =>"
    ' (user.name === "Sleeper" ? { exp: Math.floor(Date.now() / 1000) - 60 } : {})'
)
"""The tokens of a user of this name have expired when they are issued."""
QUIET = {"NEXT_TELEMETRY_DISABLED": "1", "CI": "true"}


@dataclass(frozen=True)
class Project:
    """The app's directory. `programs` has those of tests/better_auth, with the same packages."""

    directory: Path

    @property
    def programs(self) -> Path:
        return self.directory / "better_auth"

    def run(self, *command: str, timeout: float, **environment: str) -> str:
        """Run a command in the app to its end and return what it printed."""
        variables = os.environ | QUIET | environment
        return output(*command, directory=self.directory, environment=variables, timeout=timeout)

    def attempt(self, *command: str, timeout: float) -> "CompletedProcess[str]":
        """Run a command in the app to its end; a failure raises nothing."""
        variables = os.environ | QUIET
        return attempt(*command, directory=self.directory, environment=variables, timeout=timeout)

    def generate(self, openapi: Mapping[str, object], *more: str, timeout: float) -> bool:
        """Generate the client with the documented command; return whether it succeeded."""
        (self.directory / "openapi.json").write_text(json.dumps(openapi))
        return self.attempt(*documented_command(), *more, timeout=timeout).returncode == 0


def documented_command() -> list[str]:
    """The command of docs/clients.md that generates the client."""
    (command,) = re.findall(r"^npx (.*openapi-typescript@.*)$", DOCUMENT.read_text(), re.MULTILINE)
    return ["npx", *command.split()]


def lay_out(directory: Path) -> Project:
    """Copy the app, with the lines of docs/auth.md at the places that docs/clients.md names."""
    shutil.copytree(NEXT, directory, dirs_exist_ok=True)
    shown = BETTER_AUTH / "app"
    auth = (shown / "auth.mjs").read_text()
    often = "  rateLimit: { enabled: false },\n  plugins:"  # the tests sign in often
    assert "  plugins:" in auth
    assert PAYLOAD in auth
    auth = auth.replace("  plugins:", often).replace(PAYLOAD, EXPIRED_FOR_SLEEPER)
    (directory / "lib/auth.ts").write_text(auth)
    route = directory / "app/api/auth/[...all]/route.ts"
    route.parent.mkdir(parents=True)
    route.write_text((shown / "route.mjs").read_text().replace("./auth.mjs", "@/lib/auth"))
    deletion = (shown / "deletion.mjs").read_text().replace("({ id })", "({ id }: { id: string })")
    linked = 'Record<"anonymousUser" | "newUser", { user: { id: string } }>'
    deletion = deletion.replace(
        "moveTasks({ anonymousUser, newUser })",
        f"moveTasks({{ anonymousUser, newUser }}: {linked})",
    )
    (directory / "lib/deletion.ts").write_text(deletion)
    project = Project(directory)
    for name in ("app", "driver"):
        shutil.copytree(BETTER_AUTH / name, project.programs / name)
    return project
