"""CPU and memory of a process with all its descendants, from Linux's /proc/<pid>/stat."""

import contextlib
import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Usage:
    """CPU in seconds, with ended descendants; the sum of resident memory in bytes."""

    cpu: float
    memory: float


@dataclass(frozen=True)
class _Process:
    parent: int
    usage: Usage


def of_tree(pid: int) -> Usage:
    """Return the usage of a process and its descendants so far."""
    processes = _all()
    assert pid in processes, f"process {pid} has ended"
    children = defaultdict(list)
    for number, process in processes.items():
        children[process.parent].append(number)
    tree = [pid]
    for number in tree:  # which grows during the loop
        tree += children[number]
    usages = [processes[number].usage for number in tree]
    return Usage(sum(usage.cpu for usage in usages), sum(usage.memory for usage in usages))


def _all() -> dict[int, _Process]:
    found = {}
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found[int(directory.name)] = _parsed((directory / "stat").read_text())
    return found


def _parsed(stat: str) -> _Process:
    """Parse the fields after the name; the name may contain spaces and parentheses (proc(5))."""
    fields = stat[stat.rindex(")") + 2 :].split()
    ticks = sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime
    return _Process(int(fields[1]), Usage(ticks * _TICK, int(fields[21]) * _PAGE))
