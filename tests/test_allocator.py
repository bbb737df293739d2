"""A worker releases memory after a peak; `nox -s siege` measures it for whole workers."""

import subprocess
import sys

import pytest

PROGRAM = """
import time
from tasks_backend.serving import allocator

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 // 2**20

if {given_back}:
    allocator.INTERVAL = 0.05
    allocator.give_memory_back()
bytearray(4 * 2**20)  # the first large block that is freed
small = [bytearray(100_000) for _ in range(500)]
kept = bytearray(100_000)  # above them: what is below is never given back by itself
before = resident()
del small
time.sleep(0.5)
print(before - resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it is about glibc")
@pytest.mark.parametrize("given_back", [True, False])
@pytest.mark.proves("FR-018")
def test_free_memory_is_returned_to_the_system(given_back: bool) -> None:
    program = PROGRAM.format(given_back=given_back)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    returned = int(done.stdout)
    assert (returned > 40) == given_back, returned
