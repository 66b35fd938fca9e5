"""Priors that adapt by memory: a recurrent state instead of gradient steps."""

from metaprior.memory.cells import Carried, Cell
from metaprior.memory.cpm import CPM, Contextual
from metaprior.memory.distributed import DistributedMemory
from metaprior.memory.dnc import DNC, Linked
from metaprior.memory.external import ExternalMemory, Written
from metaprior.memory.fast import Fast, FastWeights
from metaprior.memory.layers import LayerMemory, Remembered
from metaprior.memory.paired import PairedMemory

__all__ = [
    "CPM",
    "DNC",
    "Carried",
    "Cell",
    "Contextual",
    "DistributedMemory",
    "ExternalMemory",
    "Fast",
    "FastWeights",
    "LayerMemory",
    "Linked",
    "PairedMemory",
    "Remembered",
    "Written",
]
