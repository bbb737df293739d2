"""What a process holds in memory, as Linux tells it in /proc/<pid>/smaps_rollup."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Memory:
    """In bytes: all that is resident, the same with its share of what others have too, and what
    it has written itself, which is nobody else's.
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
    """Return what a process holds now, without its children."""
    told = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, size, _ = line.split()
        told[name] = int(size) * 1024
    return Memory(
        resident=told["Rss:"],
        proportional=told["Pss:"],
        private=told["Private_Dirty:"],
    )
