"""Freed memory stays in the process, where the C library lets it."""

import platform
import subprocess
import sys

import pytest

from metaprior import allocator

PROGRAM = """
import resource, sys
if sys.argv[1] == "keep":
    from metaprior.allocator import keep_memory
    assert keep_memory()
import torch

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

for step in range(10):
    if step == 5:
        before = faults()
    torch.ones(16_000_000)
print(faults() - before)
"""


def page_faults(how):
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
def test_memory_is_reused_afterwards():
    # 64 MB are 15,625 pages of 4 kB; where the system uses larger pages, both counts are small.
    assert page_faults("keep") < max(200, page_faults("leave") / 10)


def test_elsewhere_it_changes_nothing(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: pytest.fail("the C library was touched"))
    assert allocator.keep_memory() is False
