"""The contract: a prior carries what related tasks share, and says how examples change the belief about one task.

Axis letters: T tasks, N support, Q query, S stream steps, C classes, D target features, H and W places.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaprior.errors import MetapriorError
from metaprior.nets.apply import padding
from metaprior.tasks.episode import Episode, Examples, TaskSpec, check_tasks
from metaprior.tasks.scores import task_losses
from metaprior.tasks.source import TaskSource
from metaprior.tasks.stream import EVERY, Stream
from metaprior.tree import Tree, tensors

__all__ = ["Preview", "Prior", "step_by_step"]


class Preview(NamedTuple):
    """A look at what a prior makes of some tasks.

    Args:
        picture: a PNG.
        trouble: what is wrong with what it shows, in a sentence; None if nothing is.
    """

    picture: bytes
    trouble: str | None = None


class Prior(nn.Module, ABC):
    """Knowledge shared by related tasks; its parameters are what `acquire` changes.

    The belief about T tasks is a *state*: a tree of tensors with a leading task axis, a value that no method changes
    in place. A constructor stores each argument under its own name and does nothing else that matters, so that a
    checkpoint can rebuild the object from its class and arguments.

    A subclass writes `for_tasks`, `start`, `observe` and `predict`; it overrides `loss` if its outer objective is not
    the query loss, and `follow` if it can do better than a loop.

    Attributes:
        kinds: the kinds of task that it serves.
        order_free: whether the order of the examples given to one `observe` never matters.
        incremental: whether observing examples in two parts equals observing them at once.
        learns: whether `acquire` has anything to change; False for controls that start from scratch.
        surrogate: whether `loss` stands in for an objective that it is not, so that only its gradient means something.
        headless: whether its network should end with features instead of outputs.
        batch_norm: whether its network may have batch norm.
        needs_net: the name of the only network that it can have; None for any.
        outer: what `acquire` uses unless told otherwise: optimiser, learning rate, tasks of a step.
        transductive: whether a prediction may depend on the other queries.
        early: whether `stream` lets an input have its say before its label arrives; where labels are late, it then does
            not equal the loop over `predict` and `observe`.
        recorded_inputs: how inputs were made where it was acquired, as its checkpoint says; None if it was not loaded.
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"classification", "regression"})
    order_free: ClassVar[bool] = True
    incremental: ClassVar[bool] = False
    learns: ClassVar[bool] = True
    surrogate: ClassVar[bool] = False
    headless: ClassVar[bool] = False
    batch_norm: ClassVar[bool] = True
    needs_net: ClassVar[str | None] = None
    outer: ClassVar[dict[str, Any]] = {"optimiser": "adam", "learning_rate": 1e-3, "tasks_per_step": 16}
    transductive: bool = False
    early: bool = False
    recorded_inputs: Mapping[str, Any] | None = None

    @classmethod
    @abstractmethod
    def for_tasks(cls, spec: TaskSpec, net: nn.Module | None = None, seed: int = 0, **arguments: Any) -> Self:
        """Build the prior for the tasks of a source, with a fitting network unless one is given.

        Args:
            spec: what the tasks have in common.
            net: a network from inputs to what this prior needs of it; None for the library's default.
            seed: of the initial weights.
            arguments: further constructor arguments.
        """

    @abstractmethod
    def start(self, tasks: int, about: Tree = None) -> Tree:
        """Return the belief about T tasks before any example.

        Args:
            tasks: T.
            about: what describes each task, a tree with leading axis T; None where nothing is known.
        """

    @abstractmethod
    def observe(self, state: Tree, examples: Examples) -> Tree:
        """Return the belief after some examples; `state` is left as it was.

        Args:
            state: a belief about T tasks.
            examples: `x` is `(T, N, *x)`, `y` is `(T, N)` or, in segmentation, `(T, N, H, W)` class ids, or `(T, N, D)`
                targets, `mask` is `(T, N)`.
        """

    @abstractmethod
    def predict(self, state: Tree, x: Tree) -> Tensor:
        """Return logits `(T, Q, C)`, of pixels `(T, Q, C, H, W)`, or values `(T, Q, D)` for the inputs `(T, Q, *x)`."""

    def deviation(self, state: Tree, x: Tree) -> Tensor | None:
        """Return the standard deviation `(T, Q, D)` of what will be measured, noise included, about predicted values.

        None stands for a prior that does not know it, or a state of classes.
        """
        return None

    def loss(self, episode: Episode) -> Tensor:
        """Return the outer objective, a mean over tasks: the loss on the queries after observing the support."""
        state = self.observe(self.start(episode.tasks, episode.about), episode.support)
        with padding(episode.query.x, episode.query.mask):
            prediction = self.predict(state, episode.query.x)
        return task_losses(prediction, episode.query, episode.ways).mean()

    def stream(self, stream: Stream, state: Tree = None) -> Tensor:
        """Predict every step of a stream before its label, then observe the labels that arrive.

        Args:
            stream: T streams of S steps.
            state: the belief to begin with; None for `start`.

        Returns:
            Logits `(T, S, C)`, of pixels `(T, S, C, H, W)`, or values `(T, S, D)`.

        Raises:
            ShapeError: if `state` is of another number of streams.
        """
        return self.follow(stream, state)[0]

    def follow(self, stream: Stream, state: Tree = None, steps: slice = EVERY) -> tuple[Tensor, Tree]:
        """Predict steps of a stream, each before its label, and return the belief to go on with after them.

        So a stream can be paused, and gone on with elsewhere: labels of earlier steps that arrive within `steps` are
        observed with the others.

        Args:
            stream: T streams of S steps.
            state: the belief before `steps`; None for `start`.
            steps: which, one after another; all of them unless told otherwise.

        Returns:
            Predictions `(T, steps, ...)` as `stream` gives, and the belief.

        Raises:
            ShapeError: if `state` is of another number of streams, or `steps` are none.
        """
        begin = self.start(stream.tasks) if state is None else state
        return step_by_step(self.predict, self.observe, stream, begin, steps)

    def check_state(self, state: Tree) -> None:
        """Raise ShapeError if a state is of another network, as far as its shapes tell; by default nothing is."""

    def stream_loss(self, stream: Stream) -> Tensor:
        """Return the outer objective on streams: the mean loss of the predictions of all steps, and of all tasks.

        Raises:
            MetapriorError: if the prior has an objective of its own on episodes, and none on streams.
        """
        if type(self).loss is not Prior.loss and type(self).stream_loss is Prior.stream_loss:
            raise MetapriorError(f"prior: {type(self).__name__} is acquired on episodes, and follows streams later")
        return task_losses(self.stream(stream), stream.asked, stream.ways).mean()

    def preview(self, source: TaskSource) -> Preview | None:
        """Return a look at tasks of a source, which `acquire` keeps in the run's folder; None if there is none.

        Tasks kept for tests are not looked at.
        """
        return None

    @property
    def chunk_size(self) -> int | None:
        """How many tasks the outer loop passes to one `loss`; None for all of them at once."""
        return None


def step_by_step(
    predict: Callable[[Tree, Tree], Tensor],
    observe: Callable[[Tree, Examples], Tree],
    stream: Stream,
    state: Tree,
    steps: slice = EVERY,
) -> tuple[Tensor, Tree]:
    """Predict steps of a stream before their labels, and after each observe the labels that arrive.

    Args:
        predict: from a state and inputs `(T, 1, *x)` to predictions.
        observe: from a state and examples to the next state.
        stream: T streams of S steps.
        state: the belief to begin with.
        steps: which.

    Returns:
        `(T, steps, C)`, `(T, steps, D)` or `(T, steps, C, H, W)`, and the belief after them.

    Raises:
        ShapeError: if `state` is of another number of streams, or `steps` are none.

    Example:
        >>> from metaprior.metric import ProtoNet
        >>> prior, stream = ProtoNet(nn.Flatten()), Stream(Examples(torch.rand(1, 3, 4), torch.tensor([[0, 1, 0]])))
        >>> step_by_step(prior.predict, prior.observe, stream, prior.start(1))[0].shape
        torch.Size([1, 3, 2])
    """
    if tensors(state):
        check_tasks(tensors(state)[0], stream.examples)
    predictions = []
    part, first = stream.part(steps)
    for step in range(first, part.steps):
        predictions.append(predict(state, part.examples.take(slice(step, step + 1)).x))
        arrived = part.arriving(step)
        if arrived is not None:
            state = observe(state, arrived)
    # A class that first arrives later had no probability before.
    width = max(prediction.shape[2] for prediction in predictions)
    padded = [
        functional.pad(said, (*[0, 0] * (said.ndim - 3), 0, width - said.shape[2]), value=-torch.inf)
        for said in predictions
    ]
    return torch.cat(padded, dim=1), state
