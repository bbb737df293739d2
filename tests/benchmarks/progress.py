"""What a run with -s prints: a line for each step, then the tables."""


def tell(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the run is for what it prints
