"""The command line in a terminal: help, completion, colours, progress, exit codes."""

import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from support.programs import attempt

from tasks_backend import __version__
from tasks_backend.cli import app
from tasks_backend.terminal import EXIT_CODES
from tasks_backend.testing.databases import NEON_OWNER, Cluster

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs/commands.md").read_text()
PROGRAM = Path(sys.executable).with_name("tasks-backend")
ROOT_COMMAND: Any = typer.main.get_command(app)
COMMANDS: dict[str, Any] = ROOT_COMMAND.commands
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9[0-7])(?:;\d+)*m")
BUILT_IN = {"--help", "-h", "--install-completion", "--show-completion"}


def environment(home: Path, **variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
    path = f"{PROGRAM.parent}:/usr/bin:/bin"
    return {"PATH": path, "HOME": str(home), "TERM": "xterm", "COLUMNS": "200", **kept, **variables}


def piped(home: Path, *command: object, **variables: str) -> "subprocess.CompletedProcess[str]":
    variables = environment(home, **variables)
    return attempt(*map(str, command), directory=home, environment=variables)


def in_a_terminal(home: Path, *command: object, **variables: str) -> tuple[int, str]:
    """The exit code and the terminal's content."""
    person, terminal = pty.openpty()
    with os.fdopen(person, "rb", buffering=0) as screen:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env=environment(home, **variables),
            cwd=home,
        )
        os.close(terminal)
        shown = b""
        try:
            while part := screen.read(65536):
                shown += part
        except OSError:
            pass  # Linux: no writer is left
        return process.wait(60), shown.decode()


def options(command: Any) -> set[str]:
    names = (
        name
        for parameter in command.params
        if parameter.param_type_name == "option"
        for name in (*parameter.opts, *parameter.secondary_opts)
    )
    return {*names} - BUILT_IN


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_explained_with_examples(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    for parameter in command.params:
        assert parameter.name == "help" or parameter.help, parameter.name
    shown = re.findall(r"^  tasks-backend (.+)$", command.epilog, re.MULTILINE)
    assert shown
    for example in shown:
        called, *arguments = shlex.split(re.split(r" [<>] ", example)[0])
        assert called == name
        with command.make_context(name, arguments, resilient_parsing=True) as context:
            assert not context.args


def test_the_document_lists_exactly_the_commands_with_their_options() -> None:
    rows = re.findall(r"^\| `([\w-]+)(?: [A-Z ]+)?` \| .+? \| (.*)\|$", DOCUMENT, re.MULTILINE)
    listed = {name: {*re.findall(r"`(--[\w-]+)`", cell)} for name, cell in rows}
    assert listed == {name: options(command) for name, command in COMMANDS.items()}


def test_the_exit_codes_are_documented_in_both_places(tmp_path: Path) -> None:
    """The tests of each command check their use."""
    codes = re.findall(r"^  (\d)  (.+)$", EXIT_CODES, re.MULTILINE)
    assert codes == re.findall(r"^\| (\d) \| (.+) \|$", DOCUMENT, re.MULTILINE)
    shown = piped(tmp_path, PROGRAM, "--help").stdout
    for code, meaning in codes:
        assert re.search(rf"{code} +{meaning}", " ".join(shown.split()))
    assert piped(tmp_path, PROGRAM, "--version").returncode == 0
    assert piped(tmp_path, PROGRAM, "token", "alice").returncode == 1
    assert piped(tmp_path, PROGRAM, "migrate").returncode == 2


def test_the_version(tmp_path: Path) -> None:
    assert piped(tmp_path, PROGRAM, "--version").stdout == f"tasks-backend {__version__}\n"


LOG = """
import logging.config
from tasks_backend.serving import log_format
logging.config.dictConfig(log_format.logging_config("info", "auto"))
logging.getLogger("tasks_backend").warning("the database is away")
"""


@pytest.mark.parametrize(
    "command",
    [
        (PROGRAM, "--help"),
        (PROGRAM, "migrate"),
        (PROGRAM, "doctor"),
        (PROGRAM, "dev", "--port", "x"),
        (sys.executable, "-c", LOG),
    ],
    ids=["help", "error", "doctor", "usage", "log"],
)
def test_colour_only_in_a_terminal_and_only_if_wanted(
    tmp_path: Path, command: tuple[object, ...]
) -> None:
    result = piped(tmp_path, *command)
    assert "\x1b" not in result.stdout + result.stderr
    code, shown = in_a_terminal(tmp_path, *command)
    assert code == result.returncode
    assert COLOUR.search(shown)
    _, shown = in_a_terminal(tmp_path, *command, NO_COLOR="1")
    assert not COLOUR.search(shown)


def test_progress_in_a_terminal_only(tmp_path: Path, cluster: Cluster) -> None:
    _, url = cluster.database(cluster.login(NEON_OWNER))
    result = piped(tmp_path, PROGRAM, "migrate", DATABASE_URL=url)
    assert (result.returncode, result.stderr) == (0, "")
    code, shown = in_a_terminal(tmp_path, PROGRAM, "migrate", DATABASE_URL=url)
    assert code == 0
    assert "Bringing the schema up to date" in shown
    assert result.stdout.strip() in shown


def test_completion_in_bash(tmp_path: Path) -> None:
    """Installed by the command, loaded by a new shell, called as the shell does."""
    installed = piped(tmp_path, "bash", "-c", "tasks-backend --install-completion; exit $?")
    assert installed.returncode == 0, installed.stderr
    ask = """
        source ~/.bashrc
        ask() {
            COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
            $(complete -p tasks-backend | sed 's/.*-F \\([^ ]*\\).*/\\1/') tasks-backend
            echo "${COMPREPLY[@]}"
        }
        ask tasks-backend e
        ask tasks-backend dev --see
    """
    result = piped(tmp_path, "bash", "--norc", "-c", ask)
    assert result.stdout.split() == ["export-user", "--seed"], result.stderr
