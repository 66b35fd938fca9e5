"""Freed memory stays in the process, where the C library lets it."""

import platform
import subprocess
import sys

import pytest

from metaprior import allocator

PROGRAM = """
import resource
from metaprior.allocator import keep_memory, keep_some_memory

def faults(blocks, size):
    for _ in range(10):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        together = [bytearray(size) for _ in range(blocks)]
        del together
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults(10, 5_000_000), faults(1, 64_000_000))
keep_some_memory()
print(faults(10, 5_000_000))
assert keep_memory()
print(faults(10, 5_000_000), faults(1, 64_000_000))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
def test_memory_is_reused_afterwards():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    several, large, some, *kept = map(int, done.stdout.split())
    # 50 MB are 12,207 pages of 4 kB; where the system uses larger pages, all counts are small.
    assert some <= max(200, several / 10)
    assert max(kept) <= max(200, large / 10)


def test_elsewhere_it_changes_nothing(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: pytest.fail("the C library was touched"))
    assert allocator.keep_memory() is False
