"""Equivariant diffusion of molecules as a prior: pre-trained to take noise away, it gives features of molecules.

Axis letters: T tasks, N support, Q query, M molecules, A atoms, K elements, F features, C classes, D target features.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from metaprior.errors import MetapriorError, check_positive
from metaprior.metric.labels import Labelled, nothing
from metaprior.metric.labels import added as with_examples
from metaprior.molecules.conformer_net import ConformerNet, moments
from metaprior.molecules.conformers import Conformers, by_size, unpacked
from metaprior.molecules.noise import Schedule, centred, draw_noise, polynomial
from metaprior.molecules.probes import logistic, ridge
from metaprior.molecules.reverse import reverse
from metaprior.nets import net_for
from metaprior.prior import Prior
from metaprior.registry import priors
from metaprior.tasks.episode import Episode, Examples, TaskSpec
from metaprior.tree import Tree, fingerprint

__all__ = ["MoleculeDiffusion"]

_LARGEST = 512
"""The most atoms that a molecule may have whose size is counted, and that noise for features is drawn for."""
_SAMPLED_AT_ONCE = 256
"""Molecules that are drawn at once; another number would draw others."""
_SCALE = 4.0
"""The length of a feature vector of standardised features, for the logistic probe."""


@priors.register("molecule_diffusion")
class MoleculeDiffusion(Prior):
    """Acquired on molecules without labels, by telling the noise in their positions and elements; adapted by a probe.

    What the denoiser makes of a molecule that is hardly noised, or not at all, are features; a task has a ridge
    regression or a logistic regression of its own on them. The denoiser also draws new molecules, `sample`.

    Features and samples are those of a running average of the weights. The noise of a step comes from a generator
    seeded by the molecules of the step, so that equal molecules in equal order have equal noise.

    Args:
        net: a `ConformerNet` without outputs.
        outputs: C or D.
        levels: of noise.
        decay: of the average of the weights; less in the first steps.
        noise_level: of the molecules that features are of, from 0 for none to 1 for nothing but noise.
        layer: whose states are the features, from 0 for the embedding to the number of layers; None for the last.
        draws: of noise that features are averaged over; 0 to scale a molecule as its noise level does, without noise.
        batch: molecules of a task that a step denoises, at most.

    Source: Hoogeboom et al. 2022 (arXiv 2203.17003), algorithm 1, and 2 for samples: noise is predicted, squared
    errors count alike at all levels. Differs: no channel holds the atomic number (as theirs for GEOM-Drugs), the error
    of a molecule is a mean over its own atoms, and samples of types are not drawn but the likeliest. Features of a
    denoiser for properties: Zaidi et al. 2022 (arXiv 2206.00133) fine-tune one of small noise.

    Example:
        >>> prior = MoleculeDiffusion(ConformerNet(width=8, layers=2), outputs=1)
        >>> x = torch.tensor([[[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, z] for z in (0.7, 0.8, 0.9)]])
        >>> state = prior.observe(prior.start(1), Examples(x, x[..., -1:]))
        >>> prior.predict(state, x).shape
        torch.Size([1, 3, 1])
    """

    incremental: ClassVar[bool] = True
    headless: ClassVar[bool] = True
    needs_net: ClassVar[str | None] = "egnn"
    # At larger rates the first steps throw atoms about, and the network takes long to come back.
    outer: ClassVar[dict[str, Any]] = {"optimiser": "adam", "learning_rate": 4e-4, "tasks_per_step": 1}

    def __init__(
        self,
        net: ConformerNet,
        outputs: int = 1,
        levels: int = 1000,
        decay: float = 0.999,
        noise_level: float = 0.0,
        layer: int | None = None,
        draws: int = 0,
        batch: int = 64,
    ):
        super().__init__()
        check_positive(outputs=outputs, levels=levels, batch=batch)
        if not isinstance(net, ConformerNet) or net.outputs is not None:
            raise MetapriorError("net: expected a ConformerNet ('egnn') without outputs, which molecules are told by")
        if not 0 <= decay < 1 or not 0 <= noise_level <= 1 or draws < 0:
            raise MetapriorError(
                f"decay, noise_level, draws: expected below 1, 0 to 1, 0 or more; got {decay}, {noise_level}, {draws}"
            )
        self.net = net
        self.outputs = outputs
        self.levels = levels
        self.decay = decay
        self.noise_level = noise_level
        self.layer = layer
        self.draws = draws
        self.batch = batch
        self.average = copy.deepcopy(net).requires_grad_(False)
        self.steps: Tensor
        self.sizes: Tensor
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        # How often a molecule of so many atoms was met, which tells how many those of samples should have.
        self.register_buffer("sizes", torch.zeros(_LARGEST + 1, dtype=torch.int64))

    @classmethod
    def for_tasks(cls, spec: TaskSpec, net: nn.Module | None = None, seed: int = 0, **arguments: Any) -> Self:
        """Build with an equivariant network.

        Raises:
            MetapriorError: if the inputs are no conformers.
        """
        if len(spec.x_shape) != 1 or spec.x_shape[0] % 4:
            raise MetapriorError(
                f"tasks: expected molecules with the featuriser 'conformer', got inputs of shape {spec.x_shape}"
            )
        found = net_for("egnn", spec, headless=True, seed=seed) if net is None else net
        return cls(found, **({"outputs": spec.outputs} | arguments))  # type: ignore[arg-type]

    def loss(self, episode: Episode) -> Tensor:
        """Return the mean over tasks of the mean squared error of the predicted noise; labels are not looked at."""
        examples = episode.support.joined(episode.query)
        chosen = [x[real][: self.batch] for x, real in zip(examples.x, examples.real, strict=True)]
        if self.training:
            self._follow(chosen)
        errors = self._errors(torch.cat(chosen), [(len(x), int(fingerprint(x), 16)) for x in chosen])
        return torch.stack([each.mean() for each in errors.split([len(x) for x in chosen])]).mean()

    def start(self, tasks: int, about: Tree = None) -> Labelled:
        """Return the belief that nothing has been seen."""
        return nothing(tasks, self.outputs, self.net.noise.weight)

    def observe(self, state: Labelled, examples: Examples) -> Labelled:
        """Add the features and targets of labelled molecules."""
        return with_examples(state, replace(examples, x=self._features(examples.x)))

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
        return self.net.features

    @torch.no_grad()
    def encode(
        self,
        molecules: Conformers | Tensor,
        noise_level: float | None = None,
        layer: int | None = None,
        draws: int | None = None,
    ) -> Tensor:
        """Return features `(M, F)`: mean and standard deviation over atoms of their states.

        Args:
            molecules: M conformers, or rows of them `(M, 4 A)`.
            noise_level: from 0 to 1; None for that of the prior.
            layer: whose states; None for that of the prior.
            draws: of noise to average over; None for those of the prior.
        """
        number = self.layer if layer is None else layer
        if number is not None and not 0 <= number <= self.net.layers:
            raise MetapriorError(f"layer: expected 0 to {self.net.layers}, got {number}")
        return self.encode_layers(molecules, noise_level, draws)[-1 if number is None else number]

    @torch.no_grad()
    def encode_layers(
        self, molecules: Conformers | Tensor, noise_level: float | None = None, draws: int | None = None
    ) -> Tensor:
        """Return the features `(L + 1, M, F)` of all layers, that of the embedding first; takes what `encode` does."""
        if isinstance(molecules, Tensor):
            molecules = unpacked(molecules)
        if molecules.mask.shape[1] > _LARGEST:
            raise MetapriorError(f"molecules: expected at most {_LARGEST} atoms, got {molecules.mask.shape[1]}")
        level = round((self.noise_level if noise_level is None else noise_level) * self.levels)
        times = self.draws if draws is None else draws
        # The same noise for every molecule, whatever else is encoded with it and however it is padded.
        generator = torch.Generator().manual_seed(0)
        noises = torch.randn(max(times, 1), _LARGEST, 3 + len(self.net.elements), generator=generator) * bool(times)

        def features(part: Conformers, index: Tensor) -> Tensor:
            levels = torch.full((len(index),), level)
            drawn = noises.to(part.positions)[:, None, : part.mask.shape[1]] * part.mask[..., None]
            told = (self._noised(part, levels, centred(noise[..., :3], part.mask), noise[..., 3:]) for noise in drawn)
            found = [[moments(state, part.mask) for state in self.average.trace(*each).states] for each in told]
            return torch.stack([torch.stack(layers, dim=1) for layers in found]).mean(0)

        if not len(molecules.mask):
            return self.net.noise.weight.new_zeros(self.net.layers + 1, 0, self.features)
        return by_size(features, molecules, self.net.at_once).transpose(0, 1)

    @torch.no_grad()
    def sample(
        self, molecules: int, seed: int = 0, steps: int | None = None, sizes: Sequence[int] | None = None
    ) -> Conformers:
        """Draw new molecules.

        Args:
            molecules: M.
            seed: of everything that is drawn.
            steps: from pure noise to none, at most as many as there are levels; None for all of these.
            sizes: M numbers of atoms; None to draw them as they were met in acquisition.

        Raises:
            MetapriorError: if no molecules were met, and no sizes are given.
        """
        check_positive(molecules=molecules, steps=steps)
        generator = torch.Generator().manual_seed(seed)
        if sizes is None:
            if not self.sizes.any():
                raise MetapriorError("sizes: this prior has met no molecules yet; expected how many atoms samples have")
            counts = torch.multinomial(self.sizes.cpu().double(), molecules, replacement=True, generator=generator)
        else:
            counts = torch.tensor(list(sizes))
        if len(counts) != molecules or int(counts.min()) < 1:
            raise MetapriorError(f"sizes: expected {molecules} positive numbers, got {list(sizes or [])}")
        mask = torch.arange(int(counts.max())) < counts[:, None]
        weight, elements = self.net.noise.weight, torch.tensor(self.net.elements)
        drawn = [
            reverse(
                self.average.denoise,
                self._schedule,
                part.to(weight.device),
                len(elements),
                generator,
                steps,
                weight.dtype,
            )
            for part in mask.split(_SAMPLED_AT_ONCE)
        ]
        positions, types = (torch.cat(parts) for parts in zip(*drawn, strict=True))
        return Conformers(positions.cpu(), elements[types.cpu().argmax(-1)].where(mask, 0), mask)

    def _errors(self, x: Tensor, parts: Sequence[tuple[int, int]]) -> Tensor:
        """Return the mean squared error `(M,)` of the noise in rows of conformers `(M, 4 A)`.

        Args:
            x: the molecules of all tasks, one task after another.
            parts: how many molecules a task has, and the seed of its noise.
        """
        molecules = unpacked(x).trimmed()
        kinds = len(self.net.elements)
        levels, moved, changed, done = [], [], [], 0
        for count, seed in parts:
            generator = torch.Generator().manual_seed(seed % 2**63)
            levels.append(torch.randint(self.levels + 1, (count,), generator=generator))
            noise = draw_noise(molecules.mask[done : done + count], kinds, generator, x.dtype)
            moved.append(noise[0])
            changed.append(noise[1])
            done += count
        level, noises = torch.cat(levels), (torch.cat(moved), torch.cat(changed))

        def errors(part: Conformers, index: Tensor) -> Tensor:
            added = [each[index, : part.mask.shape[1]] for each in noises]
            found = self.net.denoise(*self._noised(part, level[index.cpu()], *added))
            wrong = torch.cat(found, dim=-1) - torch.cat(added, dim=-1)
            real = part.mask[..., None]
            return (wrong.square() * real).sum((1, 2)) / (part.sizes.clamp(min=1) * (3 + kinds))

        return by_size(errors, molecules, self.net.at_once)

    def _noised(
        self, molecules: Conformers, level: Tensor, moved: Tensor, changed: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return molecules at noise levels `(M,)`, with the noise given, as the network takes them."""
        signal, noise = (part(level).to(moved)[:, None, None] for part in (self._schedule.signal, self._schedule.noise))
        positions = signal * centred(molecules.positions, molecules.mask) + noise * moved
        types = signal * self.net.types(molecules.elements) + noise * changed
        return positions, types, molecules.mask, level.to(moved) / self.levels

    def _features(self, x: Tensor) -> Tensor:
        return self.encode(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    def _follow(self, chosen: Sequence[Tensor]) -> None:
        """Count the sizes of molecules, and move the average of the weights towards what they are now."""
        sizes = torch.cat([unpacked(x).sizes for x in chosen]).clamp(max=_LARGEST)
        self.sizes += sizes.bincount(minlength=_LARGEST + 1) * (torch.arange(_LARGEST + 1).to(sizes) > 0)
        # At first the weights change much, and those of the beginning should soon be forgotten.
        decay = min(self.decay, (1 + int(self.steps)) / (10 + int(self.steps)))
        self.steps += 1
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.net.parameters()), 1 - decay)

    @cached_property
    def _schedule(self) -> Schedule:
        return polynomial(self.levels)


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
