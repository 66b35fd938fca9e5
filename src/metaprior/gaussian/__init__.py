"""Priors that adapt by conditioning a Gaussian process, or Gaussian weights, and know how sure they are."""

from metaprior.gaussian.adkf import ADKF, Fitted
from metaprior.gaussian.dkt import DKT
from metaprior.gaussian.kernels import DeepKernel, tanimoto
from metaprior.gaussian.niw import NIWMeta
from metaprior.gaussian.process import condition, evidence

__all__ = ["ADKF", "DKT", "DeepKernel", "Fitted", "NIWMeta", "condition", "evidence", "tanimoto"]
