import os
import socket
import tempfile
from collections.abc import Callable
from typing import Any

import pytest
import torch

# Computed data go to a folder of this run, so that no test depends on what an earlier version cached.
_cache = tempfile.TemporaryDirectory(prefix="metaprior-tests-")
os.environ.setdefault("METAPRIOR_CACHE", _cache.name)


_HERE = ("127.0.0.1", "::1", "localhost")


def _only_here(connect: Callable[..., Any]) -> Callable[..., Any]:
    def checked(self: socket.socket, address: Any) -> Any:
        if not (isinstance(address, tuple) and address[0] in _HERE):
            raise AssertionError(f"a test tried to reach {address}")
        return connect(self, address)

    return checked


# No test touches the network; a page that a test serves is asked by the test itself.
socket.socket.connect = _only_here(socket.socket.connect)
socket.socket.connect_ex = _only_here(socket.socket.connect_ex)

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
