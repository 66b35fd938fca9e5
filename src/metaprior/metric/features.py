"""Priors that learn from features: what their network makes of an input never depends on what was seen.

Axis letters: T tasks, S stream steps, N support, Q query, C classes, F features.
"""

from abc import abstractmethod
from dataclasses import replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from metaprior.errors import UnknownNameError
from metaprior.nets import apply
from metaprior.nets.norm import sees_batch
from metaprior.prior import Prior, step_by_step
from metaprior.tasks.episode import Examples, TaskSpec
from metaprior.tasks.stream import EVERY, Stream
from metaprior.tree import Tree

__all__ = ["FeaturePrior", "Unseen", "fill_unseen", "fitted", "novelty_for"]

Unseen = Literal["impossible", "alike", "last"]
_UNSEEN = ("impossible", "alike", "last")
_LOWER = 1e4
"""How far the logit of what is impossible lies below those of all others: finite, so that losses are."""


class FeaturePrior(Prior):
    """A prior whose `observe` and `predict` look at features alone, so that a stream takes one pass of its network.

    A subclass has a `net` from `(N, *x)` to `(N, F)`, and writes `for_tasks`, `start`, `remember` and `recall`.
    """

    headless: ClassVar[bool] = True
    net: nn.Module

    @abstractmethod
    def remember(self, state: Any, examples: Examples) -> Any:
        """Return the belief after examples whose `x` is features, `(T, N, F)`; see `observe`."""

    @abstractmethod
    def recall(self, state: Any, features: Tensor) -> Tensor:
        """Return logits `(T, Q, C)` or values `(T, Q, D)` for features `(T, Q, F)`."""

    def encode(self, x: Tree, mask: Tensor | None = None) -> Tensor:
        """Return the features `(T, N, F)` of inputs `(T, N, *x)`; `mask` is `(T, N)`, False for padding."""
        return apply(self.net, x, mask)

    def observe(self, state: Any, examples: Examples) -> Any:
        """Return the belief after some examples; see `Prior.observe`."""
        return self.remember(state, replace(examples, x=self.encode(examples.x, examples.mask)))

    def predict(self, state: Any, x: Tree) -> Tensor:
        """Return logits `(T, Q, C)` or values `(T, Q, D)` for the inputs `(T, Q, *x)`."""
        return self.recall(state, self.encode(x))

    def follow(self, stream: Stream, state: Tree = None, steps: slice = EVERY) -> tuple[Tensor, Tree]:
        """Predict steps of a stream; see `Prior.follow`. All features are computed first, but for batch norm's."""
        if sees_batch(self.net):
            return super().follow(stream, state, steps)
        state = self.start(stream.tasks) if state is None else state
        part, first = stream.part(steps)
        # Of padding too, as the loop does: without batch norm, no example changes another.
        features = self.encode(part.examples.x)
        seen = replace(part, examples=replace(part.examples, x=features))
        return step_by_step(self.recall, self.remember, seen, state, slice(first, None))


def fitted(spec: TaskSpec, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return constructor arguments with what fits some tasks where nothing was said: room, and what is unseen.

    Example:
        >>> fitted(TaskSpec("classification", (4,), 5, unknown=True), {"unseen": None})
        {'ways': 5, 'unseen': 'last'}
    """
    given = {"ways": spec.outputs} | arguments
    if given.get("unseen") is None:
        given["unseen"] = "last" if spec.unknown else "impossible"
    return given


def novelty_for(unseen: Unseen | None, logit: float) -> nn.Parameter | None:
    """Return the logit that classes without examples begin with; None if they are impossible.

    Raises:
        UnknownNameError: if there is no such way to treat them.
    """
    if unseen is not None and unseen not in _UNSEEN:
        raise UnknownNameError("choice for unseen", unseen, _UNSEEN)
    return None if unseen in (None, "impossible") else nn.Parameter(torch.tensor(logit))


def fill_unseen(logits: Tensor, seen: Tensor, unseen: Unseen | None, novelty: Tensor | None) -> Tensor:
    """Give logits to the classes that have no examples.

    Args:
        logits: `(T, Q, C)`, right for the classes seen, and anything for the others.
        seen: `(T, C)`, whether a class has examples.
        unseen: "impossible" gives them as good as no probability; "alike" gives each the logit `novelty`; "last" gives
            that logit to the last class, and makes the others impossible.
        novelty: a number; None if they are impossible.

    Example:
        >>> logits, seen = torch.tensor([[[2.0, 0.0, 0.0]]]), torch.tensor([[True, False, False]])
        >>> fill_unseen(logits, seen, "last", torch.tensor(2.0)).softmax(-1)
        tensor([[[0.5000, 0.0000, 0.5000]]])
    """
    seen = seen[:, None]
    if novelty is not None and unseen == "alike":
        return torch.where(seen, logits, novelty)
    lowest = logits.detach().masked_fill(~seen, 0).amin(-1, keepdim=True)
    if novelty is None:
        return torch.where(seen, logits, lowest - _LOWER)
    known = torch.where(seen, logits, torch.minimum(lowest, novelty.detach()) - _LOWER)[..., :-1]
    return torch.cat([known, novelty.expand(*known.shape[:2], 1)], dim=-1)
