"""Reptile: move the initial weights towards the weights that plain training on each task leads to.

Axis letters: T tasks.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor

from metaprior.gradient.maml import MAML
from metaprior.registry import priors
from metaprior.tasks.episode import Episode, Examples
from metaprior.tree import map_chunks

__all__ = ["Reptile"]


@priors.register("reptile")
class Reptile(MAML):
    """MAML's adaptation, acquired without differentiating through it.

    Takes the arguments of `MAML`; more inner steps than MAML needs are usual, and still more in evaluation mode.

    Source: Nichol et al. 2018 (arXiv 1803.02999), algorithm 2. The outer update, a step of the size of the learning
    rate towards the mean of the adapted weights, is said as the gradient of half the squared distance to them.
    Differs: an inner step is plain gradient descent instead of Adam; each takes its own part of the examples of the
    task, support and query together, every `inner_steps`-th of them.

    Example:
        >>> from metaprior.nets import MLP
        >>> from metaprior.tasks import Sinusoid
        >>> prior = Reptile(MLP(inputs=1, outputs=1), inner_steps=5, step_size=0.01)
        >>> bool(prior.loss(Sinusoid().sample(4, torch.Generator().manual_seed(0))) > 0)
        True
    """

    surrogate: ClassVar[bool] = True
    outer: ClassVar[dict[str, Any]] = {"optimiser": "sgd", "learning_rate": 1.0, "tasks_per_step": 5}

    def loss(self, episode: Episode) -> Tensor:
        """Return half the mean squared distance from the initial weights to the adapted ones, taken as constants."""
        start = self.start(episode.tasks, episode.about).weights
        with torch.no_grad():
            adapted = map_chunks(self._trained, self.chunk_size, start, episode.support.joined(episode.query))
        distances = [(weight - adapted[name]).square().flatten(1).sum(1) for name, weight in start.items()]
        return 0.5 * torch.stack(distances).sum(0).mean()

    def _trained(self, weights: dict[str, Tensor], examples: Examples) -> dict[str, Tensor]:
        # With fewer examples than steps, each is taken more than once.
        parts = min(self.inner_steps, examples.size)
        for step in range(self.inner_steps):
            part = examples.take(slice(step % parts, None, parts))
            weights = self._inner_step(weights, part, step, differentiable=False)
        return weights
