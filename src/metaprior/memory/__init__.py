"""Priors that adapt by memory: a recurrent state instead of gradient steps."""

from metaprior.memory.cells import Carried, Cell
from metaprior.memory.cpm import CPM, Contextual
from metaprior.memory.distributed import DistributedMemory, Remembered
from metaprior.memory.dnc import DNC, Linked
from metaprior.memory.external import ExternalMemory, Written

__all__ = [
    "CPM",
    "DNC",
    "Carried",
    "Cell",
    "Contextual",
    "DistributedMemory",
    "ExternalMemory",
    "Linked",
    "Remembered",
    "Written",
]
