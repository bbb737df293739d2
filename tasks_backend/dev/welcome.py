"""The start message of `tasks-backend dev`: addresses, a token, and commands to paste."""

import shlex
import shutil
import sys
from pathlib import Path

from rich.console import Console

import tasks_backend

USER = "alice"


def welcome(port: int, directory: Path, url: str, token: str, seed: int | None) -> None:
    """Print the message; long lines are not wrapped, so that they can be copied."""
    api = f"http://127.0.0.1:{port}"
    tasks = f"{api}/api/v1/tasks"
    token_command = f"{command()} token bob"
    if directory != Path(".tasks-backend"):
        token_command += f" --data-dir {shlex.quote(str(directory))}"
    seeded = "" if seed is None else f", who has {seed:,} demonstration tasks"
    console = Console(soft_wrap=True, highlight=False, markup=False)
    write = console.print
    write(f"\n  tasks_backend {tasks_backend.__version__}, for development\n", style="bold")
    write(f"  API    {tasks}")
    write(f"  Docs   {api}/docs (open it in a browser and try every operation)")
    write(f"  Data   {directory.resolve()} (kept between starts; delete it to start afresh)")
    write(f"  SQL    psql {shlex.quote(url)}")
    write(f"\n  A token for {USER}{seeded}, valid for a day:\n", style="bold")
    write(token)
    write(f"\n  For another user: {token_command}")
    write("\n  Try it: paste these into another terminal\n", style="bold")
    write(f"export TOKEN={token}")
    bearer = '-H "Authorization: Bearer $TOKEN"'
    json = "-H 'Content-Type: application/json'"
    write(f"""curl -s {tasks} {bearer} {json} -d '{{"title": "Buy milk"}}'""")
    write(f"curl -s {tasks} {bearer}")
    write(f'curl -s "{tasks}?completed=false&limit=1" {bearer}')
    write("\n  Ctrl-C stops everything.\n", style="bold")


def command() -> str:
    """Return the shell command that starts this program again."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m tasks_backend"
    found = shutil.which(program.name)
    if found and Path(found).resolve() == program.resolve():
        return program.name
    return shlex.quote(str(program))
