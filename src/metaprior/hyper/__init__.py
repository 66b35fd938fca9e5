"""Hypernetworks: priors that write the weights of another network."""

from metaprior.hyper.generators import (
    Chunked,
    Factorised,
    Generator,
    Linear,
    LowRank,
    Multiplicative,
    Templates,
)
from metaprior.hyper.hypermaml import HyperMAML, Impressions
from metaprior.hyper.hypernet import Hypernet
from metaprior.hyper.hypernetwork import Hypernetwork

__all__ = [
    "Chunked",
    "Factorised",
    "Generator",
    "HyperMAML",
    "Hypernet",
    "Hypernetwork",
    "Impressions",
    "Linear",
    "LowRank",
    "Multiplicative",
    "Templates",
]
