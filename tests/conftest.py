import os
import socket
import tempfile

import pytest
import torch

# Computed data go to a folder of this run, so that no test depends on what an earlier version cached.
_cache = tempfile.TemporaryDirectory(prefix="metaprior-tests-")
os.environ.setdefault("METAPRIOR_CACHE", _cache.name)


def _refuse(self: socket.socket, address: object) -> None:
    raise AssertionError(f"a test tried to reach {address}")


# No test touches the network.
socket.socket.connect = _refuse
socket.socket.connect_ex = _refuse

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))


@pytest.fixture(autouse=True)
def _same_randomness() -> None:
    """Layers that a test makes begin with the same weights, whichever tests ran before it."""
    torch.manual_seed(0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file on one core, since they may share what took long to make; conformance checks do not."""
    for item in items:
        if "conformance" not in item.path.parts:
            item.add_marker(pytest.mark.xdist_group(str(item.path)))
