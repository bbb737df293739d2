"""The output of a run with -s: a line for each step, then the tables."""


def tell(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the run's output
