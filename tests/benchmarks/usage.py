"""CPU and memory of a process with all its descendants, from Linux's clocks and /proc/<pid>/stat."""

import contextlib
import os
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Usage:
    """CPU in seconds, with ended descendants; the sum of resident memory in bytes.

    The clocks of running processes count nanoseconds; the time of ended ones, ticks of 10 ms.
    """

    cpu: float
    memory: float


@dataclass(frozen=True)
class _Process:
    parent: int
    ended: float
    memory: float


def of_tree(pid: int) -> Usage:
    """Return the usage of a process and its descendants so far."""
    while True:
        tree = _tree(pid)
        with contextlib.suppress(OSError):  # one ended
            cpu = sum(time.clock_gettime(_cpu_clock(number)) for number in tree)
            if (
                _tree(pid).keys() == tree.keys()
            ):  # else an ended one may be counted twice, or not at all
                ended = sum(process.ended for process in tree.values())
                return Usage(cpu + ended, sum(process.memory for process in tree.values()))


def _tree(pid: int) -> dict[int, _Process]:
    processes = _all()
    assert pid in processes, f"process {pid} has ended"
    children = defaultdict(list)
    for number, process in processes.items():
        children[process.parent].append(number)
    tree = [pid]
    for number in tree:  # which grows during the loop
        tree += children[number]
    return {number: processes[number] for number in tree}


def _cpu_clock(pid: int) -> int:
    """Return the clock of a process's CPU time, as clock_getcpuclockid(3) does."""
    return ~pid << 3 | 2


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
    ended = sum(map(int, fields[13:15]))  # cutime, cstime
    return _Process(int(fields[1]), ended * _TICK, int(fields[21]) * _PAGE)
