"""Equivariant diffusion of molecules as a prior: pre-trained to take noise away, it gives features of molecules.

Axis letters: T tasks, N support, Q query, M molecules, A atoms, K elements, F features, C classes, D target features.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaprior.errors import MetapriorError, check_positive
from metaprior.molecules.batches import by_size
from metaprior.molecules.conformer_net import ConformerNet
from metaprior.molecules.conformers import Conformers, unpacked
from metaprior.molecules.generator import LARGEST, SAMPLED_AT_ONCE, MoleculeGenerator
from metaprior.molecules.noise import Schedule, centred, draw_noise, polynomial
from metaprior.molecules.reverse import reverse
from metaprior.nets import net_for
from metaprior.nets.pooling import mean_and_deviation
from metaprior.registry import priors
from metaprior.tasks.episode import TaskSpec

__all__ = ["MoleculeDiffusion"]


@priors.register("molecule_diffusion")
class MoleculeDiffusion(MoleculeGenerator):
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
        >>> from metaprior.tasks import Examples
        >>> prior = MoleculeDiffusion(ConformerNet(width=8, layers=2), outputs=1)
        >>> x = torch.tensor([[[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, z] for z in (0.7, 0.8, 0.9)]])
        >>> state = prior.observe(prior.start(1), Examples(x, x[..., -1:]))
        >>> prior.predict(state, x).shape
        torch.Size([1, 3, 1])
    """

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
        if not isinstance(net, ConformerNet) or net.outputs is not None:
            raise MetapriorError("net: expected a ConformerNet ('egnn') without outputs, which molecules are told by")
        check_positive(levels=levels)
        super().__init__(net, outputs, decay, noise_level, layer, draws, batch)
        self.levels = levels

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

    @torch.no_grad()
    def encode_layers(
        self, molecules: Conformers | Tensor, noise_level: float | None = None, draws: int | None = None
    ) -> Tensor:
        """Return the features `(L + 1, M, F)` of all layers, that of the embedding first; takes what `encode` does."""
        if isinstance(molecules, Tensor):
            molecules = unpacked(molecules)
        if not isinstance(molecules, Conformers):
            raise MetapriorError(
                f"molecules: expected conformers, as the featuriser gives them, got {type(molecules).__name__}"
            )
        if molecules.mask.shape[1] > LARGEST:
            raise MetapriorError(f"molecules: expected at most {LARGEST} atoms, got {molecules.mask.shape[1]}")
        level = round((self.noise_level if noise_level is None else noise_level) * self.levels)
        times = self.draws if draws is None else draws
        # The same noise for every molecule, whatever else is encoded with it and however it is padded.
        generator = torch.Generator().manual_seed(0)
        noises = torch.randn(max(times, 1), LARGEST, 3 + len(self.net.elements), generator=generator) * bool(times)

        def features(part: Conformers, index: Tensor) -> Tensor:
            levels = torch.full((len(index),), level)
            drawn = noises.to(part.positions)[:, None, : part.mask.shape[1]] * part.mask[..., None]
            told = (self._noised(part, levels, centred(noise[..., :3], part.mask), noise[..., 3:]) for noise in drawn)
            found = [
                [mean_and_deviation(state, part.mask) for state in self.average.trace(*each).states] for each in told
            ]
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
        check_positive(steps=steps)
        generator = torch.Generator().manual_seed(seed)
        counts = self._sizes_of_samples(molecules, sizes, generator)
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
            for part in mask.split(SAMPLED_AT_ONCE)
        ]
        positions, types = (torch.cat(parts) for parts in zip(*drawn, strict=True))
        return Conformers(positions.cpu(), elements[types.cpu().argmax(-1)].where(mask, 0), mask)

    def _errors(self, x: Tensor, parts: Sequence[tuple[int, int]]) -> Tensor:
        """Return the mean squared error `(M,)` of the noise in rows of conformers `(M, 4 A)`."""
        molecules = unpacked(x).trimmed()
        kinds = len(self.net.elements)
        levels, moved, changed, done = [], [], [], 0
        for count, seed in parts:
            generator = torch.Generator().manual_seed(seed % 2**63)
            levels.append(torch.randint(self.levels + 1, (count,), generator=generator))
            # Neither padding nor the molecules of other tasks change what is drawn.
            mine = molecules.take(slice(done, done + count)).trimmed().mask
            room = (0, 0, 0, molecules.mask.shape[1] - mine.shape[1])
            noise = draw_noise(mine, kinds, generator, x.dtype)
            moved.append(functional.pad(noise[0], room))
            changed.append(functional.pad(noise[1], room))
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

    def _sizes(self, x: Tensor) -> Tensor:
        return unpacked(x).sizes

    @cached_property
    def _schedule(self) -> Schedule:
        return polynomial(self.levels)
