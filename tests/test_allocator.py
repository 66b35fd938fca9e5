"""Freed memory stays in the process, where the C library lets it."""

import platform
import subprocess
import sys

import pytest

from metaprior import allocator

PROGRAM = """
import resource
from metaprior.allocator import keep_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        bytearray(64_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

left = faults()
assert keep_memory()
faults()
print(left, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
def test_memory_is_reused_afterwards():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    left, kept = map(int, done.stdout.split())
    # 64 MB are 15,625 pages of 4 kB; where the system uses larger pages, both counts are small.
    assert kept <= max(200, left / 10)


def test_elsewhere_it_changes_nothing(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: pytest.fail("the C library was touched"))
    assert allocator.keep_memory() is False
