"""Priors that adapt by memory: a recurrent state instead of gradient steps."""

from metaprior.memory.cells import Carried, Cell
from metaprior.memory.distributed import DistributedMemory, Remembered

__all__ = ["Carried", "Cell", "DistributedMemory", "Remembered"]
