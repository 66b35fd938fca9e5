"""Priors that adapt in closed form, in an acquired feature space."""

from metaprior.metric.protonet import ProtoNet, Prototypes

__all__ = ["ProtoNet", "Prototypes"]
