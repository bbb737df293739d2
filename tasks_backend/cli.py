"""The command line. Exit codes: 0 success, 1 failure, 2 a setting or an argument is wrong.

Commands import only what they need, so that completion, `--help` and reloads of `dev` are fast.
"""

import asyncio
import errno
import getpass
import json
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from tasks_backend._version import __version__
from tasks_backend.serving.log_handler import open_standard_files
from tasks_backend.settings import DatabaseSettings, Settings, SettingsError, environment, load
from tasks_backend.terminal import EXIT_CODES, examples, pluralise, print_error, progress

if TYPE_CHECKING:
    from tasks_backend.tasks.sweep import SubjectList

app = typer.Typer(
    help="A task API for the users of a Better Auth application.",
    epilog=f"{examples('dev', 'doctor', 'serve --help')}\n\n{EXIT_CODES}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DataDirectory = Annotated[
    Path, typer.Option("--data-dir", help="Directory of the embedded PostgreSQL and the key.")
]
DEFAULT_DIRECTORY = Path(".tasks-backend")
ACCOUNT_COMMANDS = {"purge-user", "move-user", "export-user"}
MAX_SEED = 100_000  # tasks: what a user may have (MAX_TASKS_PER_USER)
MAX_TOKEN = 1024 * 1024  # bytes read from standard input; no token is that long


Value = TypeVar("Value", str, str | None)


def _valid_utf8(value: Value) -> Value:
    """Return an argument; reject invalid UTF-8, which no user id contains."""
    try:
        (value or "").encode()
    except UnicodeEncodeError:
        raise typer.BadParameter("it is no UTF-8 text") from None
    return value


def _subject(value: str) -> str:
    """Return a user's id; reject one that no accepted token has, because nobody would see the tasks."""
    from tasks_backend.auth.tokens import is_subject

    if not is_subject(_valid_utf8(value)):
        raise typer.BadParameter("no token has such a user id")
    return value


UserId = Annotated[
    str,
    typer.Argument(
        metavar="SUB", help="The user's id: the `sub` of a token.", callback=_valid_utf8
    ),
]


def _root_path(value: str) -> str:
    """Return the prefix; reject one without a slash at its start or with one at its end."""
    if value and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", value):
        raise typer.BadParameter("takes a path such as /todo, without a slash at its end")
    return value


def _without_brackets(value: str) -> str:
    """Return the address; one of IPv6 may have brackets, as in a URL."""
    return value[1:-1] if value.startswith("[") and value.endswith("]") else value


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - Typer's signature of a callback
    if wanted:
        typer.echo(f"tasks-backend {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    *,
    version: Annotated[  # noqa: ARG001 - its callback prints it
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Accept the options of the program itself, and prepare the environment of the command."""
    if context.invoked_subcommand == "serve":
        return  # its workers do it, so that they read `.env` anew
    ignored = environment.remove_libpq_variables()
    environment.add_file()
    if ignored and context.invoked_subcommand in {"migrate", *ACCOUNT_COMMANDS}:
        typer.echo(f"ignored: {', '.join(ignored)} (the database URL alone counts)", err=True)
    context.obj = ignored


@app.command(epilog=examples("dev", "dev --port 8123 --seed 25", "dev --reload-dir ../audit"))
def dev(
    *,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Loopback port to listen on.")] = 8000,
    data_dir: DataDirectory = DEFAULT_DIRECTORY,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=MAX_SEED,
            help="Number of tasks for the demonstration user. Replaces the tasks of an earlier "
            "seed, and no others.",
        ),
    ] = None,
    reload: Annotated[bool, typer.Option(help="Restart when a source file changes.")] = True,
    reload_dir: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Further directory to watch, such as a plugin's source.",
        ),
    ] = None,
    with_parent: Annotated[
        bool, typer.Option("--with-parent", help="Stop when the process that started it is gone.")
    ] = False,
) -> None:
    """Start everything for development: PostgreSQL, tokens and the API, with reload."""
    from tasks_backend.db.migrations import MigrationError
    from tasks_backend.dev import run as development
    from tasks_backend.dev.postgres import DevelopmentError
    from tasks_backend.serving.addresses import PortTaken

    with _report_errors(DevelopmentError, MigrationError, PortTaken):
        development.run(
            port=port,
            directory=data_dir,
            seed=seed,
            reload_dirs=[*(reload_dir or ())] if reload else None,
            with_parent=with_parent,
        )


@app.command(epilog=examples("token alice", "token bob --ttl 60"))
def token(
    subject: Annotated[str, typer.Argument(metavar="SUB", help="The user's id.")],
    data_dir: DataDirectory = DEFAULT_DIRECTORY,
    ttl: Annotated[int, typer.Option(min=1, help="Seconds until it expires.")] = 900,
) -> None:
    """Print a development token for a user, and nothing else."""
    from tasks_backend.dev.issuer import Issuer
    from tasks_backend.dev.postgres import DevelopmentError

    with _report_errors(DevelopmentError):
        typer.echo(Issuer(data_dir).token(subject, ttl=ttl))


@app.command(
    epilog=examples(
        "serve", "serve --host 0.0.0.0 --port 8000 --workers 2", "serve --uds /run/tasks/api.sock"
    )
)
def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on.", callback=_without_brackets)
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    uds: Annotated[
        Path | None,
        typer.Option(help="Unix socket to listen on, instead of an address and a port."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Number of worker processes.")] = 1,
    root_path: Annotated[
        str,
        typer.Option(
            help="Path prefix that a reverse proxy strips from requests.",
            callback=_root_path,
        ),
    ] = "",
) -> None:
    """Serve the API with the settings from the environment."""
    from tasks_backend.app import create_app
    from tasks_backend.serving import server
    from tasks_backend.serving.addresses import PortTaken

    with _report_errors(PortTaken, server.NotStarted):
        settings: Settings = load()
        with environment.file_added():
            create_app(settings)  # reports plugin errors once; else each worker would
            is_shared = "PROMETHEUS_MULTIPROC_DIR" in os.environ
        server.run(
            "tasks_backend.serving.server:application",
            host=host,
            port=port,
            uds=uds,
            log_level=settings.log_level,
            log_format=settings.log_format,
            metrics_of_one=workers > 1 and "metrics" in settings.plugins and not is_shared,
            workers=workers,
            root_path=root_path,
        )


@app.command(epilog=examples("migrate", "migrate --to 0002"))
def migrate(
    *,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="REVISION",
            help="Upgrade or downgrade the service's schema to this revision, and no plugin's.",
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask before a downgrade removes something.")
    ] = False,
) -> None:
    """Bring the database's schema up to date, and mend its roles, rights and policies."""
    from tasks_backend.db import migrations
    from tasks_backend.plugin import load_plugins

    with _report_errors(migrations.MigrationError):
        settings: DatabaseSettings = load(DatabaseSettings)
        if to is not None:
            losses = migrations.losses(settings.migration_url, to)
            for loss in losses:
                typer.echo(f"Below revision {loss}", err=True)
            if losses and not yes:
                _confirm("Downgrade? Only a release that needs no later revision can then serve.")
        plugins = load_plugins(settings.plugins)
        with progress("Bringing the schema up to date"):
            if to is None:
                said = migrations.upgrade(settings.migration_url, plugins)
            else:
                migrations.move(settings.migration_url, to)
                said = [f"The schema is at revision {to}."]
        typer.echo("\n".join(said))


@app.command(epilog=examples("openapi > openapi.json"))
def openapi() -> None:
    """Print the OpenAPI document, with the plugins that the settings name. Needs no setting."""
    from tasks_backend.app import create_app

    with _report_errors():
        settings: Settings = load(  # the document depends on none of these
            database_url="postgresql://localhost/",
            better_auth_url="http://localhost",
            jwks_url=None,
        )
        app = create_app(settings)
        typer.echo(json.dumps(app.openapi(), indent=2, ensure_ascii=False))


@app.command("settings", epilog=examples("settings", "settings > plugins.env"))
def plugin_settings() -> None:
    """Print the settings of the enabled plugins as lines of `.env`. Needs only PLUGINS."""
    from tasks_backend.plugin import load_plugins
    from tasks_backend.settings.of_plugin import example

    with _report_errors():
        settings: DatabaseSettings = load(DatabaseSettings, database_url="postgresql://localhost/")
        lines = []
        for plugin in load_plugins(settings.plugins):
            if plugin.settings is not None:
                lines += ["", f"# --- {plugin.name} ---", *example(plugin.settings, plugin.prefix)]
        if lines:
            typer.echo("\n".join(lines[1:]))
        else:
            typer.echo("No plugin in PLUGINS has settings.", err=True)


@app.command(
    context_settings={"allow_extra_args": True},
    epilog=examples("doctor", "doctor --json", "doctor --token - < token.txt"),
)
def doctor(
    context: typer.Context,
    *,
    token: Annotated[
        str | None,
        typer.Option(
            metavar="-", help="Also explain why a token is rejected; reads it from stdin."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find problems of the deployment, and say how to fix them. Prints no secret."""
    from tasks_backend import doctor as diagnosis

    if context.args or token not in {None, "-"}:  # may be a token: it is not printed
        raise typer.BadParameter("a token is read from standard input: --token - < file")
    _silence_log()
    findings = diagnosis.diagnose(_token_from_stdin() if token else None, ignored=context.obj)
    if as_json:
        typer.echo(diagnosis.as_json(findings))
    elif sys.stdout.isatty():
        diagnosis.write_table(findings)
    else:
        typer.echo("\n".join(diagnosis.as_lines(findings)))
    raise typer.Exit(diagnosis.exit_code(findings))


@app.command(
    epilog=examples(
        "purge-user DTKOCvCP375T3awBOoJKoPfL3YTi3Gu1",
        """purge-user --not-in 'SELECT id FROM "user"' --dry-run""",
        "purge-user --not-in-file ids.json --at-most 20 --yes",
    )
)
def purge_user(
    subject: Annotated[
        str | None,
        typer.Argument(
            metavar="[SUB]",
            help="The user's id: the `sub` of a token.",
            callback=_valid_utf8,
            show_default=False,
        ),
    ] = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    not_in: Annotated[
        str | None,
        typer.Option(
            metavar="QUERY",
            help="Erase all users who are not among the subjects that this SQL query selects.",
        ),
    ] = None,
    not_in_file: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            allow_dash=True,
            help="Erase all users who are not in this JSON array of subjects (-: standard input).",
        ),
    ] = None,
    at_most: Annotated[
        int | None,
        typer.Option(
            min=0, help="Refuse to erase more users than this. [default: half of all users]"
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list the users who would be erased.")
    ] = False,
) -> None:
    """Erase a user and all their tasks permanently, or all users whom Better Auth no longer has.

    Delete the user in Better Auth first: a request with a valid token creates the user again.
    """
    from tasks_backend.tasks import account

    if [subject, not_in, not_in_file].count(None) != 2:  # noqa: PLR2004 - all but one
        raise typer.BadParameter("name a user, or use --not-in or --not-in-file")
    if subject is not None and (dry_run or at_most is not None):
        raise typer.BadParameter("--dry-run and --at-most need --not-in or --not-in-file")
    with _report_errors(account.AccountError):
        _silence_log()
        settings: DatabaseSettings = load(DatabaseSettings)
        if subject is None:
            known = not_in if not_in_file is None else _subject_list(not_in_file)
            users = _unknown_users(settings, known, at_most, dry_run=dry_run, yes=yes)
        else:
            users = [subject]
            if not yes:
                _confirm(f"Erase user {subject} and all their tasks, for good?")
        with progress("Erasing") as report_progress:
            erased = asyncio.run(
                account.erase(
                    settings.database_url, users, lambda done: report_progress(f"{done:,} users")
                )
            )
    tasks = pluralise(erased.tasks, "task")
    if subject is None:
        typer.echo(f"Erased {pluralise(erased.users, 'user')} and {tasks}.", err=True)
    elif erased.users:
        typer.echo(f"Erased the user and {tasks}.")
    else:
        typer.echo("There is no such user: nothing to erase.")


def _subject_list(path: Path) -> "SubjectList":
    """Return the subjects in a file, or on standard input if the path is a dash."""
    from tasks_backend.tasks.sweep import SubjectList, parse_subjects

    if str(path) == "-":
        written_at, text = datetime.now(UTC), sys.stdin.buffer.read()
    else:
        written_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        text = path.read_bytes()
    try:
        return SubjectList(parse_subjects(text), written_at)
    except ValueError as error:  # also of JSON and UTF-8
        raise typer.BadParameter(f"no list of subjects: {error}") from None


def _unknown_users(
    settings: DatabaseSettings,
    known: "str | SubjectList | None",
    at_most: int | None,
    *,
    dry_run: bool,
    yes: bool,
) -> list[str]:
    """Return the users to erase, after showing them and asking. Exits if there are none."""
    from tasks_backend.tasks import account, sweep

    assert known is not None  # noqa: S101 - for mypy: the caller has checked it
    found = sweep.compare(settings.migration_url, known)
    for user in found.unknown:
        typer.echo(user)
    if found.newer:
        typer.echo(f"Left out, newer than the list: {pluralise(found.newer, 'user')}.", err=True)
    if not found.unknown:
        typer.echo(f"No unknown user among {found.users}: nothing to erase.", err=True)
        raise typer.Exit
    if refusal := found.refusal(at_most):
        raise account.AccountError(refusal)
    if dry_run:
        raise typer.Exit
    if yes:
        return found.unknown
    _confirm(f"Erase {pluralise(len(found.unknown), 'user')} with all their tasks, for good?")
    again = sweep.compare(settings.migration_url, known)  # somebody may have signed up meanwhile
    return [user for user in found.unknown if user in {*again.unknown}]


@app.command(epilog=examples("move-user GuEst9XkTq2bWc4nZ7rLm0 DTKOCvCP375T3awBOoJKoPfL3YTi3Gu1"))
def move_user(
    source: Annotated[
        str, typer.Argument(metavar="FROM", help="The present owner's id.", callback=_valid_utf8)
    ],
    target: Annotated[
        str, typer.Argument(metavar="TO", help="The new owner's id.", callback=_subject)
    ],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Give all tasks of one user to another, such as those of a guest who has signed up.

    Ids, times and versions stay. Repeat it for what the first user wrote meanwhile.
    """
    from tasks_backend.tasks import account

    if source == target:
        raise typer.BadParameter("both ids are the same")
    with _report_errors(account.AccountError):
        _silence_log()
        settings: DatabaseSettings = load(DatabaseSettings)
        if not yes:
            _confirm(f"Give all tasks of user {source} to user {target}?")
        with progress("Moving"):
            moved = asyncio.run(account.move(settings.database_url, source, target))
        if moved is None:
            typer.echo("There is no such user: nothing to move.")
            return
        rows = f" and {pluralise(moved.rows, 'row')} of plugins" if moved.rows else ""
        typer.echo(f"Moved {pluralise(moved.tasks, 'task')}{rows}.")
        for table in moved.kept:
            typer.echo(f"Not moved: the rows of {table}.", err=True)


@app.command(epilog=examples("export-user DTKOCvCP375T3awBOoJKoPfL3YTi3Gu1 > alice.json"))
def export_user(subject: UserId) -> None:
    """Print a user and all their tasks as JSON."""
    from tasks_backend.tasks import account

    redirected = not sys.stdout.isatty()
    with (
        _report_errors(account.AccountError),
        progress("Exporting", wanted=redirected) as report_progress,
    ):
        _silence_log()
        settings: DatabaseSettings = load(DatabaseSettings)
        export = account.export(
            settings.database_url,
            subject,
            sys.stdout.buffer,
            lambda count: report_progress(f"{count:,} tasks"),
        )
        try:
            asyncio.run(export)
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise account.AccountError(f"the output cannot be written ({error.strerror})") from None


@app.command(epilog=examples("user-hash DTKOCvCP375T3awBOoJKoPfL3YTi3Gu1"))
def user_hash(subject: UserId) -> None:
    """Print the hash by which the log names a user, from LOG_SALT or DATABASE_URL."""
    from tasks_backend.http.access_log import user_hasher

    with _report_errors():
        settings: DatabaseSettings = load(DatabaseSettings)
        typer.echo(user_hasher(settings.pseudonym_salt)(subject))


@app.command(epilog=examples("new-plugin notes"))
def new_plugin(
    name: Annotated[str, typer.Argument(help="The plugin's name, as in /api/v1/NAME.")],
    directory: Annotated[
        Path, typer.Option("--directory", help="Where the package's directory is made.")
    ] = Path(),
) -> None:
    """Make a plugin's package with one resource, its migration and its tests."""
    from tasks_backend.new_plugin import make

    with _report_errors():
        package = make(name, directory)
        typer.echo(f"{package} is made. Its README.md says how to test and to run it.")


def _token_from_stdin() -> str:
    if sys.stdin.isatty():
        return getpass.getpass("Token (not shown): ").strip()
    return sys.stdin.buffer.read(MAX_TOKEN).decode("latin-1").strip()


def _silence_log() -> None:
    """Keep the service's log out of a command's output: the command reports errors itself."""
    logging.getLogger("tasks_backend").addHandler(logging.NullHandler())


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise typer.BadParameter("standard input is no terminal: confirm with --yes")
    typer.confirm(question, abort=True, err=True)


@contextmanager
def _report_errors(*failures: type[Exception]) -> Iterator[None]:
    """Print expected errors without a traceback, and exit with the error's code."""
    try:
        yield
    except SettingsError as error:
        code, message = 2, str(error)
    except failures as error:
        code, message = 1, str(error)
    else:
        return
    print_error(message)
    raise typer.Exit(code)


def main() -> None:
    """Run the command line."""
    open_standard_files()
    try:
        sys.exit(app())
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # flushed once more at exit
        print_error(f"the output cannot be written: {error.strerror}")
        sys.exit(1)
