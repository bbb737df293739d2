"""The command line. Exit codes: 0 done, 1 it failed, 2 a setting or an argument is wrong."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from tasks_backend import server
from tasks_backend.app import create_app
from tasks_backend.db import migrations
from tasks_backend.plugin import PluginError
from tasks_backend.settings import DatabaseSettings, Settings, SettingsError, load

app = typer.Typer(
    help="A task API for the users of a Better Auth application.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

DataDirectory = Annotated[
    Path, typer.Option("--data-dir", help="Where the embedded PostgreSQL and the key live.")
]
DEFAULT_DIRECTORY = Path(".tasks-backend")


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
            access_log=False,  # it would log query strings
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
