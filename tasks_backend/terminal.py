"""What a command says besides its answer: on standard error, in colour only where that is wanted.

Rich leaves colours out where nobody would see them: in a pipe, in a file, with NO_COLOR set.
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
    """Return the end of a command's help: lines that can be pasted."""
    shown = "\n".join(f"  tasks-backend {line}".rstrip() for line in lines)
    return f"\n[bold]Examples[/]\n{shown}"  # the first line feed keeps the others' indentation


def complain(message: str) -> None:
    """Write an error, a line for each of its lines."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for line in message.splitlines():
        console.print(Text(f"error: {line}", "red"))


@contextmanager
def progress(what: str, *, wanted: bool = True) -> Iterator[Callable[[str], None]]:
    """Show at a terminal that something is being done; elsewhere, show nothing.

    Yields a function that says how far it has come.
    """
    if not (wanted and sys.stderr.isatty()):
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status(what) as status:
        yield lambda so_far: status.update(f"{what} {so_far}")
