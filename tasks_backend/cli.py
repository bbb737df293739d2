"""The command line. Exit codes: 0 done, 1 it failed, 2 a setting or an argument is wrong."""

import asyncio
import getpass
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from tasks_backend import doctor as diagnosis
from tasks_backend import server
from tasks_backend.app import create_app
from tasks_backend.db import migrations
from tasks_backend.plugin import PluginError
from tasks_backend.settings import DatabaseSettings, Settings, SettingsError, load
from tasks_backend.tasks import account

app = typer.Typer(
    help="A task API for the users of a Better Auth application.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

DataDirectory = Annotated[
    Path, typer.Option("--data-dir", help="Where the embedded PostgreSQL and the key live.")
]
DEFAULT_DIRECTORY = Path(".tasks-backend")
MAX_TOKEN = 1024 * 1024  # bytes; what is cut off is far beyond what can be a token


def _text(value: str) -> str:
    """Return an argument, unless its bytes are no text: then it names nobody."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise typer.BadParameter("it is no UTF-8 text") from None
    return value


UserId = Annotated[
    str, typer.Argument(metavar="SUB", help="The user's id: the `sub` of a token.", callback=_text)
]


@app.command()
def dev(
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Where to listen, on loopback.")
    ] = 8000,
    data_dir: DataDirectory = DEFAULT_DIRECTORY,
) -> None:
    """Start everything for development: PostgreSQL, tokens and the API, with reload."""
    from tasks_backend.dev import server as development
    from tasks_backend.dev.postgres import DevelopmentError

    with _explained(DevelopmentError):
        development.run(port=port, directory=data_dir)


@app.command()
def token(
    subject: Annotated[str, typer.Argument(metavar="SUB", help="The user's id.")],
    data_dir: DataDirectory = DEFAULT_DIRECTORY,
    ttl: Annotated[int, typer.Option(min=1, help="Seconds until it expires.")] = 900,
) -> None:
    """Print a development token for a user, and nothing else."""
    from tasks_backend.dev.issuer import Issuer
    from tasks_backend.dev.postgres import DevelopmentError

    with _explained(DevelopmentError):
        typer.echo(Issuer(data_dir).token(subject, ttl=ttl))


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the address.")] = 1,
) -> None:
    """Serve the API, as the environment says."""
    with _explained():
        settings: Settings = load()
        create_app(
            settings
        )  # what is wrong with a plugin is said here, once, and not by each worker
        server.run(
            "tasks_backend:create_app",
            host=host,
            port=port,
            log_level=settings.log_level,
            workers=workers,
        )


@app.command()
def migrate() -> None:
    """Bring the database's schema up to date."""
    with _explained():
        settings: DatabaseSettings = load(DatabaseSettings)
        migrations.upgrade(settings.migration_url)
        typer.echo(f"The schema is at revision {migrations.head()}.")


@app.command()
def openapi() -> None:
    """Print the OpenAPI document, as the settings make it."""
    with _explained():
        typer.echo(json.dumps(create_app().openapi(), indent=2, ensure_ascii=False))


@app.command(context_settings={"allow_extra_args": True})
def doctor(
    context: typer.Context,
    *,
    token: Annotated[
        str | None,
        typer.Option(metavar="-", help="Say also why a token is refused; it is read from stdin."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what keeps the service from working, and what to do about it. Prints no secret."""
    if context.args or token not in {None, "-"}:  # perhaps a token: it is not repeated
        raise typer.BadParameter("a token is read from standard input: --token - < file")
    _without_a_log()
    findings = diagnosis.diagnose(_token_from_stdin() if token else None)
    if as_json:
        typer.echo(diagnosis.as_json(findings))
    elif sys.stdout.isatty():
        diagnosis.write_table(findings)
    else:
        typer.echo("\n".join(diagnosis.as_lines(findings)))
    raise typer.Exit(diagnosis.exit_code(findings))


@app.command()
def purge_user(
    subject: UserId,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase a user and all their tasks, for good.

    Delete the user in Better Auth first: using a token that is still valid makes them anew.
    """
    with _explained(account.AccountError):
        _without_a_log()
        settings: DatabaseSettings = load(DatabaseSettings)
        if not yes:
            _confirm(f"Erase user {subject} and all their tasks, for good?")
        erased = asyncio.run(account.erase(settings.migration_url, subject))
        if erased is None:
            typer.echo("There is no such user: nothing to erase.")
        else:
            typer.echo(f"Erased the user and {erased} task{'' if erased == 1 else 's'}.")


@app.command()
def export_user(subject: UserId) -> None:
    """Print a user and all their tasks as JSON."""
    with _explained(account.AccountError):
        _without_a_log()
        settings: DatabaseSettings = load(DatabaseSettings)
        asyncio.run(account.export(settings.database_url, subject, sys.stdout.buffer))


def _token_from_stdin() -> str:
    if sys.stdin.isatty():
        return getpass.getpass("Token (not shown): ").strip()
    return sys.stdin.buffer.read(MAX_TOKEN).decode("latin-1").strip()


def _without_a_log() -> None:
    """Keep out of a command's output what the service would log: the command says it itself."""
    logging.getLogger("tasks_backend").addHandler(logging.NullHandler())


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody can be asked here: say --yes")
    typer.confirm(question, abort=True, err=True)


@contextmanager
def _explained(*failures: type[Exception]) -> Iterator[None]:
    """Say what went wrong in a line for each thing, without a traceback."""
    failed: tuple[type[Exception], ...] = (server.PortTaken, migrations.MigrationError, *failures)
    try:
        yield
    except (SettingsError, PluginError) as error:
        code, message = 2, str(error)
    except failed as error:
        code, message = 1, str(error)
    else:
        return
    for line in message.splitlines():
        typer.secho(f"error: {line}", fg="red", err=True)
    raise typer.Exit(code)


def main() -> None:
    """Run the command line."""
    sys.exit(app())
