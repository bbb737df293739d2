"""The import time of a process, by distribution."""

import re
import sys
from collections import defaultdict
from collections.abc import Mapping
from importlib.metadata import packages_distributions

STANDARD_LIBRARY = "the standard library"
_LINE = re.compile(r"^import time:\s+(\d+) \|\s+\d+ \|\s+([\w.]+)$", re.MULTILINE)


def by_distribution(log: str) -> dict[str, float]:
    """Sum up the output of `python -X importtime`: seconds, each module without its imports."""
    known = packages_distributions()
    costs: dict[str, float] = defaultdict(float)
    for microseconds, module in _LINE.findall(log):
        costs[_distribution(module.partition(".")[0], known)] += int(microseconds) / 1e6
    return costs


def _distribution(package: str, known: Mapping[str, list[str]]) -> str:
    """Return the distribution of a package; the package itself if there are several."""
    if package in sys.stdlib_module_names:
        return STANDARD_LIBRARY
    names = set(known.get(package, ()))
    return names.pop() if len(names) == 1 else package
