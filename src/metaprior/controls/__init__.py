"""What a prior must beat: training from scratch, and two ordinary uses of pooled pre-training."""

from metaprior.controls.pooled import FineTune, Frozen
from metaprior.controls.scratch import Scratch

__all__ = ["FineTune", "Frozen", "Scratch"]
