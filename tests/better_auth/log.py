"""What a run with -s prints, and the project publishes: the tests' names and a line per step."""

from collections.abc import Callable

Say = Callable[[str], None]


def tell(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the log is what the run is for
