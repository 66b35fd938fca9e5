"""What generative priors of molecules have in common: acquired without labels, adapted by a probe on their features.

Axis letters: T tasks, N support, Q query, M molecules, F features, C classes, D target features.
"""

import copy
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from metaprior.errors import MetapriorError, check_positive
from metaprior.metric.labels import Labelled, nothing
from metaprior.metric.labels import added as with_examples
from metaprior.molecules.probes import logistic, ridge
from metaprior.prior import Prior
from metaprior.tasks.episode import Episode, Examples
from metaprior.tree import Tree, fingerprint

__all__ = ["LARGEST", "SAMPLED_AT_ONCE", "MoleculeGenerator"]

LARGEST = 512
"""The largest size of a molecule that is counted."""
SAMPLED_AT_ONCE = 256
"""Molecules that are drawn at once; another number would draw others."""
_SCALE = 4.0
"""The length of a feature vector of standardised features, for the logistic probe."""


class MoleculeGenerator(Prior):
    """A network that generates molecules; a task has a ridge or a logistic regression of its own on features of it.

    Features and samples are those of a running average of the weights. What is drawn in a step comes from a generator
    seeded by the molecules of the step, so that equal molecules in equal order have equal noise.

    A subclass writes `_errors`, `_sizes` and `encode_layers`, and draws samples.

    Args:
        net: with the attributes `features` and `layers`.
        outputs: C or D.
        decay: of the average of the weights; less in the first steps.
        noise_level: of the molecules that features are of, from 0 for none to 1 for nothing but noise.
        layer: whose states are the features, from 0 for the embedding to the number of layers; None for the last.
        draws: of noise that features are averaged over.
        batch: molecules of a task that a step learns from, at most.
    """

    incremental: ClassVar[bool] = True
    headless: ClassVar[bool] = True
    net: Any
    average: Any

    def __init__(
        self,
        net: nn.Module,
        outputs: int,
        decay: float,
        noise_level: float,
        layer: int | None,
        draws: int,
        batch: int,
    ):
        super().__init__()
        check_positive(outputs=outputs, batch=batch)
        if not 0 <= decay < 1 or not 0 <= noise_level <= 1 or draws < 0:
            raise MetapriorError(
                f"decay, noise_level, draws: expected below 1, 0 to 1, 0 or more; got {decay}, {noise_level}, {draws}"
            )
        self.net = net
        self.outputs = outputs
        self.decay = decay
        self.noise_level = noise_level
        self.layer = layer
        self.draws = draws
        self.batch = batch
        self.average = copy.deepcopy(net).requires_grad_(False)
        self.steps: Tensor
        self.sizes: Tensor
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        # How often a molecule of such a size was met, which tells how large those of samples should be.
        self.register_buffer("sizes", torch.zeros(LARGEST + 1, dtype=torch.int64))

    def loss(self, episode: Episode) -> Tensor:
        """Return the mean over tasks of the mean error of what was hidden of molecules; labels are not looked at."""
        examples = episode.support.joined(episode.query)
        chosen = [x[real][: self.batch] for x, real in zip(examples.x, examples.real, strict=True)]
        if self.training:
            self._follow(chosen)
        errors = self._errors(torch.cat(chosen), [(len(x), int(fingerprint(x), 16)) for x in chosen])
        by_task = errors.split([len(x) for x in chosen])
        return torch.stack([each.sum() / max(len(each), 1) for each in by_task]).mean()

    def start(self, tasks: int, about: Tree = None) -> Labelled:
        """Return the belief that nothing has been seen."""
        return nothing(tasks, self.outputs, self._weight)

    def observe(self, state: Labelled, examples: Examples) -> Labelled:
        """Add the features and targets of labelled molecules."""
        features = self._weight.new_zeros(*examples.x.shape[:2], self.features)
        features[examples.real] = self.encode(examples.x[examples.real])
        return with_examples(state, replace(examples, x=features))

    def predict(self, state: Labelled, x: Tree) -> Tensor:
        """Return logits `(T, Q, C)` of a logistic probe, or values `(T, Q, D)` of a ridge."""
        support, queries = _standardised(state, self._features(x))
        if not bool(state.classes.all()):
            return ridge(*support, queries)[0]
        return logistic(*support, queries)

    def deviation(self, state: Labelled, x: Tree) -> Tensor | None:
        """Return the standard deviation `(T, Q, D)` of what will be measured, for regression."""
        if bool(state.classes.any()):
            return None
        support, queries = _standardised(state, self._features(x))
        return ridge(*support, queries)[1].sqrt()

    @property
    def features(self) -> int:
        """F."""
        return int(self.net.features)

    @torch.no_grad()
    def encode(
        self,
        molecules: Any,
        noise_level: float | None = None,
        layer: int | None = None,
        draws: int | None = None,
    ) -> Tensor:
        """Return features `(M, F)`: mean and standard deviation of the states of the parts of a molecule.

        Args:
            molecules: M of them, in a value of their own or as rows of the featuriser.
            noise_level: from 0 to 1; None for that of the prior.
            layer: whose states; None for that of the prior.
            draws: of noise to average over; None for those of the prior.

        Raises:
            MetapriorError: if the level or the layer does not exist.
        """
        noise_level = self.noise_level if noise_level is None else noise_level
        if not 0 <= noise_level <= 1:
            raise MetapriorError(f"noise_level: expected 0 to 1, got {noise_level}")
        number = self.layer if layer is None else layer
        if number is not None and not 0 <= number <= self.net.layers:
            raise MetapriorError(f"layer: expected 0 to {self.net.layers}, got {number}")
        return self.encode_layers(molecules, noise_level, draws)[-1 if number is None else number]

    @abstractmethod
    def encode_layers(self, molecules: Any, noise_level: float | None = None, draws: int | None = None) -> Tensor:
        """Return the features `(L + 1, M, F)` of all layers, that of the embedding first; takes what `encode` does."""

    @abstractmethod
    def _errors(self, x: Tensor, parts: Sequence[tuple[int, int]]) -> Tensor:
        """Return the mean error `(M,)` of what was hidden of each molecule.

        Args:
            x: rows of the molecules of all tasks, one task after another.
            parts: how many molecules a task has, and the seed of its noise.
        """

    @abstractmethod
    def _sizes(self, x: Tensor) -> Tensor:
        """Return the size `(M,)` of each molecule of some rows."""

    def _sizes_of_samples(self, molecules: int, sizes: Sequence[int] | None, generator: torch.Generator) -> Tensor:
        """Return the sizes `(M,)` that were asked for, or drawn as they were met in acquisition."""
        check_positive(molecules=molecules)
        if sizes is None:
            if not self.sizes.any():
                raise MetapriorError("sizes: this prior has met no molecules yet; expected how large samples are")
            return torch.multinomial(self.sizes.cpu().double(), molecules, replacement=True, generator=generator)
        if len(sizes) != molecules or min(sizes) < 1:
            raise MetapriorError(f"sizes: expected {molecules} positive numbers, got {list(sizes)}")
        return torch.tensor(list(sizes))

    @property
    def _weight(self) -> Tensor:
        """One of the weights, for their device and dtype."""
        return next(self.net.parameters())

    def _features(self, x: Tensor) -> Tensor:
        return self.encode(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    def _follow(self, chosen: Sequence[Tensor]) -> None:
        """Count the sizes of molecules, and move the average of the weights towards what they are now."""
        sizes = torch.cat([self._sizes(x) for x in chosen]).clamp(max=LARGEST)
        self.sizes += sizes.bincount(minlength=LARGEST + 1) * (torch.arange(LARGEST + 1).to(sizes) > 0)
        # At first the weights change much, and those of the beginning should soon be forgotten.
        decay = min(self.decay, (1 + int(self.steps)) / (10 + int(self.steps)))
        self.steps += 1
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.net.parameters()), 1 - decay)


def _standardised(state: Labelled, queries: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
    """Return features, targets and mask of the support, and features of the queries, standardised by the support."""
    features, targets, real, _ = state
    if features.shape[1] == 0:
        return (features, targets, real), queries
    count = real.sum(1)[:, None, None].clamp(min=1)
    mean = (features * real[..., None]).sum(1, keepdim=True) / count
    spread = (((features - mean) * real[..., None]).square().sum(1, keepdim=True) / count).sqrt()
    spread = torch.where(spread > 1e-4 * mean.abs() + 1e-6, spread, torch.inf) * features.shape[-1] ** 0.5 / _SCALE
    return ((features - mean) / spread * real[..., None], targets, real), (queries - mean) / spread
