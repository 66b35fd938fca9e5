"""Scores of logs: what happened in a stream, or in a sequence of tasks; pure functions of tensors."""

from metaprior.metrics.sequences import (
    backward_transfer,
    forward_contrast,
    forward_transfer,
    performance_maintenance,
    sample_efficiency,
    stability,
)
from metaprior.metrics.streams import (
    accuracy_by_number,
    accuracy_by_presentation,
    average_precision,
    first_sights,
    gaps_of,
    presentations,
    running_accuracy,
)

__all__ = [
    "accuracy_by_number",
    "accuracy_by_presentation",
    "average_precision",
    "backward_transfer",
    "first_sights",
    "forward_contrast",
    "forward_transfer",
    "gaps_of",
    "performance_maintenance",
    "presentations",
    "running_accuracy",
    "sample_efficiency",
    "stability",
]
