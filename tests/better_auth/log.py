"""The output of a run with -s, which is published: the tests' names and a line per step."""

from collections.abc import Callable

Say = Callable[[str], None]


def tell(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the log is the result of the run
