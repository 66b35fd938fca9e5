"""What a prior must beat: training from scratch, and ordinary uses of pooled pre-training; in streams, replay."""

from metaprior.controls.pooled import FineTune, Frozen
from metaprior.controls.replay import Replay, ReplayScratch
from metaprior.controls.scratch import Scratch

__all__ = ["FineTune", "Frozen", "Replay", "ReplayScratch", "Scratch"]
