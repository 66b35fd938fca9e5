"""Hypernetworks: priors that write the weights of another network."""

from metaprior.hyper.generators import Chunked, Generator, LowRank, Multiplicative, Templates
from metaprior.hyper.hypernet import Hypernet
from metaprior.hyper.hypernetwork import Hypernetwork

__all__ = ["Chunked", "Generator", "Hypernet", "Hypernetwork", "LowRank", "Multiplicative", "Templates"]
