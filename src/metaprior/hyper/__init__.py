"""Hypernetworks: priors that write the weights of another network."""

from metaprior.hyper.amortised import Amortised, Inference
from metaprior.hyper.continual import ContinualHypernet, Learned
from metaprior.hyper.dynamic import DynamicHypernetwork
from metaprior.hyper.encoder import Pooled, SupportEncoder
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
    "Amortised",
    "Chunked",
    "ContinualHypernet",
    "DynamicHypernetwork",
    "Factorised",
    "Generator",
    "HyperMAML",
    "Hypernet",
    "Hypernetwork",
    "Impressions",
    "Inference",
    "Learned",
    "Linear",
    "LowRank",
    "Multiplicative",
    "Pooled",
    "SupportEncoder",
    "Templates",
]
