"""Errors and progress of the commands, on standard error.

Rich omits colours in a pipe, in a file, and if NO_COLOR is set.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EXIT_CODES = """\
[bold]Exit codes[/]
  0  done
  1  it failed: the message says why
  2  a setting or an argument is missing or wrong"""


def examples(*lines: str) -> str:
    """Return the examples at the end of a command's help."""
    pasteable = "\n".join(f"  tasks-backend {line}".rstrip() for line in lines)
    return f"\n[bold]Examples[/]\n{pasteable}"  # the first line feed keeps the indentation


def pluralise(number: int, noun: str) -> str:
    """Return `1 key`, `2 keys`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def print_error(message: str) -> None:
    """Print each line of an error message."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for line in message.splitlines():
        console.print(Text(f"error: {line}", "red"))


@contextmanager
def progress(what: str, *, wanted: bool = True) -> Iterator[Callable[[str], None]]:
    """Show a message while the block runs, if standard error is a terminal.

    Yields a function that appends the progress to the message.
    """
    if not (wanted and sys.stderr.isatty()):
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status(what) as status:
        yield lambda so_far: status.update(f"{what} {so_far}")
