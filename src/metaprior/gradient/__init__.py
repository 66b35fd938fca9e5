"""Priors that adapt by gradient steps."""

from metaprior.gradient.maml import MAML, FastWeights

__all__ = ["MAML", "FastWeights"]
