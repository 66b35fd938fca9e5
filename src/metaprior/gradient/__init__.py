"""Priors that adapt by gradient steps."""

from metaprior.gradient.maml import MAML, FastWeights
from metaprior.gradient.meta_sgd import MetaSGD
from metaprior.gradient.reptile import Reptile

__all__ = ["MAML", "FastWeights", "MetaSGD", "Reptile"]
