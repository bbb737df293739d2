"""The first thing that `tasks-backend dev` says: what is where, a token, and lines to paste."""

import shlex
import shutil
import sys
from pathlib import Path

from rich.console import Console

import tasks_backend

USER = "alice"


def welcome(port: int, directory: Path, url: str, token: str, seed: int | None) -> None:
    """Print it, without wrapping a line that is to be copied."""
    api = f"http://127.0.0.1:{port}"
    tasks = f"{api}/api/v1/tasks"
    other = f"{command()} token bob"
    if directory != Path(".tasks-backend"):
        other += f" --data-dir {shlex.quote(str(directory))}"
    made = "" if seed is None else f", who has {seed:,} demonstration tasks"
    console = Console(soft_wrap=True, highlight=False, markup=False)
    say = console.print
    say(f"\n  tasks_backend {tasks_backend.__version__}, for development\n", style="bold")
    say(f"  API    {tasks}")
    say(f"  Docs   {api}/docs (open it in a browser and try every operation)")
    say(f"  Data   {directory.resolve()} (kept between starts; delete it to begin anew)")
    say(f"  SQL    psql {shlex.quote(url)}")
    say(f"\n  A token of {USER}{made}, good for a day:\n", style="bold")
    say(token)
    say(f"\n  Another user's: {other}")
    say("\n  Try it: paste these into another terminal\n", style="bold")
    say(f"export TOKEN={token}")
    bearer = '-H "Authorization: Bearer $TOKEN"'
    json = "-H 'Content-Type: application/json'"
    say(f"""curl -s {tasks} {bearer} {json} -d '{{"title": "Buy milk"}}'""")
    say(f"curl -s {tasks} {bearer}")
    say(f'curl -s "{tasks}?completed=false&limit=1" {bearer}')
    say("\n  Ctrl-C stops everything.\n", style="bold")


def command() -> str:
    """Return how this program was started, in a form that starts it again."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m tasks_backend"
    found = shutil.which(program.name)
    if found and Path(found).resolve() == program.resolve():
        return program.name
    return shlex.quote(str(program))
