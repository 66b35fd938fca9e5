"""Priors that adapt in closed form, in an acquired feature space."""

from metaprior.metric.hopfield import Hopfield
from metaprior.metric.matching import Matching
from metaprior.metric.protonet import ProtoNet, Prototypes
from metaprior.metric.ridge import Ridge, Seen

__all__ = ["Hopfield", "Matching", "ProtoNet", "Prototypes", "Ridge", "Seen"]
