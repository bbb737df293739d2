"""The memory of a process, from Linux's /proc/<pid>/smaps_rollup."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Memory:
    """In bytes: resident memory, the same with only its share of shared pages, and its private
    dirty pages.
    """

    resident: int
    proportional: int
    private: int

    def __str__(self) -> str:
        """A line of progress."""
        return (
            f"{self.resident / 2**20:.1f} MB resident, {self.proportional / 2**20:.1f} MB"
            f" proportional, {self.private / 2**20:.1f} MB private"
        )


def of_process(pid: int) -> Memory:
    """Return the current memory of a process, without its children."""
    told = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, size, _ = line.split()
        told[name] = int(size) * 1024
    return Memory(resident=told["Rss:"], proportional=told["Pss:"], private=told["Private_Dirty:"])
