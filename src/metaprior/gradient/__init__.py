"""Priors that adapt by gradient steps."""

from metaprior.gradient.anml import ANML
from metaprior.gradient.maml import MAML, FastWeights
from metaprior.gradient.meta_sgd import MetaSGD
from metaprior.gradient.oml import OML, Head
from metaprior.gradient.online_maml import OnlineMAML
from metaprior.gradient.reptile import Reptile

__all__ = ["ANML", "MAML", "OML", "FastWeights", "Head", "MetaSGD", "OnlineMAML", "Reptile"]
