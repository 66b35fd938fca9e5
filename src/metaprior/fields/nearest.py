"""The prior that only remembers: a field for each known prompt, and for another the field of the nearest.

Axis letters: T scenes, G known prompts, L tokens, D text features, Q rays.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaprior.errors import DataError, MetapriorError, ShapeError
from metaprior.fields.distil import point_losses
from metaprior.fields.field_net import FieldNet
from metaprior.fields.text import ENCODER, encode
from metaprior.gradient.maml import FastWeights
from metaprior.nets import apply_per_task
from metaprior.prior import Prior
from metaprior.registry import priors
from metaprior.tasks.episode import Episode, Examples, TaskSpec, check_tasks
from metaprior.tasks.scores import task_losses
from metaprior.tree import Tree

__all__ = ["NearestField"]


@priors.register("nearest_field")
class NearestField(Prior):
    """A field of its own for each known prompt; acquisition fits them, and a new prompt gets that of the nearest.

    Prompts are as near as the mean features of their tokens. A baseline: what it shows of a prompt that it knows is
    what fitting gives, and of others it shows something else.

    Args:
        net: the field that each prompt has, with weights of its own.
        prompts: G of them, those of acquisition.
        text: the text encoder that prompts go through.

    Example:
        >>> prior = NearestField(FieldNet(width=8, samples=4), ["a red ball", "a green box"], "words")
        >>> prior.nearest(["a red box", "the red ball"])
        ['a green box', 'a red ball']
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"rays"})
    outer: ClassVar[dict[str, Any]] = {"optimiser": "adam", "learning_rate": 5e-3, "tasks_per_step": 8}
    keys: Tensor

    def __init__(self, net: nn.Module, prompts: Sequence[str] = (), text: str = ENCODER):
        super().__init__()
        if not isinstance(net, FieldNet):
            raise MetapriorError(f"net: expected a FieldNet, got {type(net).__name__}")
        if not prompts:
            raise DataError("prompts: expected those of acquisition, got none")
        self.net: FieldNet = net
        self.prompts = tuple(prompts)
        self.text = text
        own = {name.replace(".", "/"): value for name, value in net.named_parameters()}
        self.fields = nn.ParameterDict(
            {name: value.detach().expand(len(self.prompts), *value.shape).clone() for name, value in own.items()}
        )
        net.requires_grad_(False)
        features = encode(self.prompts, text)
        self.register_buffer("keys", _mean(features.tokens, features.mask), persistent=False)

    @classmethod
    def for_tasks(cls, spec: TaskSpec, net: nn.Module | None = None, seed: int = 0, **arguments: Any) -> Self:
        """Build for scenes, with their text encoder, and with fields that have planes unless a network is given."""
        given = {"text": spec.text or ENCODER} | arguments
        return cls(FieldNet("triplane", seed=seed) if net is None else net, **given)

    def nearest(self, prompts: Sequence[str]) -> list[str]:
        """Return the known prompt nearest to each of some prompts."""
        features = encode(prompts, self.text)
        return [self.prompts[place] for place in self._places(features.tokens, features.mask).tolist()]

    def start(self, tasks: int, about: Tree = None) -> FastWeights:
        """Return the weights of the fields of the nearest known prompts; of the first where there is no prompt."""
        if about is None:
            place = torch.zeros(tasks, dtype=torch.int64, device=self.keys.device)
        else:
            if isinstance(about, Sequence):
                about = encode(about, self.text)._asdict()
            place = self._places(about["tokens"].to(self.keys), about["mask"].to(self.keys.device))
        names = [name for name, _ in self.net.named_parameters()]
        return FastWeights({name: self.fields[name.replace(".", "/")][place] for name in names}, ())

    def observe(self, state: FastWeights, examples: Examples) -> FastWeights:
        """Return the same belief: rays tell it nothing."""
        check_tasks(next(iter(state.weights.values())), examples)
        return state

    def predict(self, state: FastWeights, x: Tensor) -> Tensor:
        """Return colour in front of black, and opacity, `(T, Q, 4)`, along rays `(T, Q, 6)`."""
        return apply_per_task(self.net, state.weights, x)[0]

    def loss(self, episode: Episode) -> Tensor:
        """Return the mean squared error along rays; or, where tasks are of points, of the fields there."""
        state = self.start(episode.tasks, episode.about)
        if not (isinstance(episode.about, dict) and "points" in episode.about):
            return task_losses(self.predict(state, episode.query.x), episode.query).mean()
        return point_losses(self.net.field, self.net.named(state.weights), episode.query).mean()

    def _places(self, tokens: Tensor, mask: Tensor) -> Tensor:
        if tokens.shape[-1] != self.keys.shape[-1]:
            raise ShapeError(
                f"about: expected tokens of {self.keys.shape[-1]} features, as the text encoder '{self.text}' gives; "
                f"got {tokens.shape[-1]}"
            )
        return (_mean(tokens, mask) @ self.keys.T).argmax(-1)


def _mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """Return the mean direction of the tokens `(T, L, D)` of each prompt, `(T, D)`, of length one."""
    return functional.normalize(tokens.masked_fill(~mask[..., None], 0).sum(1), dim=-1)
