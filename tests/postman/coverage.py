"""The table of coverage: operations and statuses, documented, requested and asserted."""

from collections.abc import Iterable, Iterator

from postman.calls import UNREACHABLE
from postman.contract import Cell


def table(documented: set[Cell], requested: set[Cell], asserted: set[Cell]) -> Iterator[str]:
    """Yield the lines. A cell counts answers by problem code: asserted/documented."""
    rows = list(dict.fromkeys(operation for operation, _, _ in sorted(documented)))
    statuses = sorted({status for _, status, _ in documented})
    yield f"{'':26}" + "".join(f"{status:>6}" for status in statuses)
    for row in rows:
        places = []
        for status in statuses:
            here = _of(documented, row, status)
            impossible = here & UNREACHABLE.keys()
            text = f"{len(_of(asserted, row, status) & here)}/{len(here)}" if here else ""
            places.append("none" if impossible else text)
        yield f"{row:26}" + "".join(f"{place:>6}" for place in places)
    possible = documented - UNREACHABLE.keys()
    yield (
        f"{len(rows)} operations; answers documented: {len(documented)},"
        f" requested: {len(requested & possible)}, asserted: {len(asserted & possible)},"
        f" impossible: {len(documented & UNREACHABLE.keys())}"
    )
    for (operation, status, code), reason in UNREACHABLE.items():
        yield f"none: {operation} {status} {code}: {reason}"


def _of(cells: Iterable[Cell], operation: str, status: int) -> set[Cell]:
    return {cell for cell in cells if cell[:2] == (operation, status)}
