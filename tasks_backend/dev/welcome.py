"""The start message of `tasks-backend dev`: addresses, a token, and commands to paste.

The commands work in any directory and in a shell without this environment's PATH.
"""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

import tasks_backend
from tasks_backend.dev.postgres import psql

USER = "alice"


@dataclass(frozen=True)
class Place:
    """Where this `dev` listens, and where its data is."""

    port: int
    directory: Path
    database_url: str
    better_auth_url: str
    """The URL of the database for Better Auth."""


def welcome(place: Place, token: str, seed: int | None, settings: list[str]) -> None:
    """Print the message; long lines are not wrapped, so that they can be copied."""
    api = f"http://127.0.0.1:{place.port}"
    tasks = f"{api}/api/v1/tasks"
    seeded = "" if seed is None else f", who has {seed:,} demonstration tasks"
    console = Console(soft_wrap=True, highlight=False, markup=False)
    write = console.print
    write(f"\n  tasks_backend {tasks_backend.__version__}, for development\n", style="bold")
    write(f"  API    {tasks}")
    write(f"  Docs   {api}/docs (open it in a browser and try every operation)")
    write(f"  Data   {place.directory} (kept between starts; delete it to start afresh)")
    write(f"  SQL    {shlex.quote(psql())} {shlex.quote(place.database_url)}")
    write(f"  Better Auth, in its .env (docs/auth.md): DATABASE_URL={place.better_auth_url}")
    for line in settings:
        write(f"  {line}")
    write(f"\n  A token for {USER}{seeded}, valid for a day:\n", style="bold")
    write(token)
    directory = shlex.quote(str(place.directory))
    write(f"\n  For another user: {command()} token bob --data-dir {directory}")
    write("\n  Try it: paste these into another terminal\n", style="bold")
    write(f"export TOKEN={token}")
    curl = r"curl -sw '\n'"
    bearer = '-H "Authorization: Bearer $TOKEN"'
    json = "-H 'Content-Type: application/json'"
    write(f"""{curl} {tasks} {bearer} {json} -d '{{"title": "Buy milk"}}'""")
    write(f"{curl} {tasks} {bearer}")
    write(f'{curl} "{tasks}?completed=false&limit=1" {bearer}')
    write("\n  Ctrl-C stops everything.\n", style="bold")


def command() -> str:
    """Return the shell command for this program, with its absolute path."""
    python = Path(sys.executable)
    program = python.with_name("tasks-backend")
    if program.exists():
        return shlex.quote(str(program))
    return f"{shlex.quote(str(python))} -m tasks_backend"
