"""Priors that adapt in closed form, in an acquired feature space."""

from metaprior.metric.protonet import ProtoNet, Prototypes
from metaprior.metric.ridge import Ridge, Seen

__all__ = ["ProtoNet", "Prototypes", "Ridge", "Seen"]
