"""Whether taking noise away from molecules without labels teaches what properties need, most so with few labels.

Molecules are trees of nine atoms, relaxed by simple forces; bonds are not told. Their properties depend on which atoms
are bonded and how far apart they are: the highest filled level and the gap of a tight-binding Hamiltonian, the Coulomb
energy of charges that bonds move, and the sum of the squares of these charges.
"""

from functools import cache

import pytest
import torch

from metaprior import acquire
from metaprior.molecules import MoleculeDiffusion, SumPooled
from metaprior.molecules.conformer_net import ConformerNet
from metaprior.molecules.conformers import Conformers
from metaprior.molecules.probes import ridge
from metaprior.molecules.sum_pooled import composition
from metaprior.tasks import Episode, Examples, TaskSource, TaskSpec

ATOMS, ELEMENTS = 9, (6, 7, 8, 9)
VALENCE = torch.tensor([4, 3, 2, 1])
RADIUS = torch.tensor([0.76, 0.71, 0.66, 0.57])
PULL = torch.tensor([2.55, 3.04, 3.44, 3.98])
UNLABELLED, LABELLED, TEST = 3000, 400, 700


@cache
def molecules() -> tuple[Conformers, torch.Tensor]:
    """Return all molecules and their properties `(N, 4)`."""
    number = UNLABELLED + LABELLED + TEST
    generator = torch.Generator().manual_seed(0)
    kinds, bonded = torch.zeros(number, ATOMS, dtype=torch.int64), torch.zeros(number, ATOMS, ATOMS)
    for at in range(number):
        free = VALENCE[kinds[at]].clone()
        for atom in range(1, ATOMS):
            parent = int(torch.multinomial((free[:atom] > 0).float(), 1, generator=generator))
            bonded[at, atom, parent] = bonded[at, parent, atom] = 1
            free[parent] -= 1
            # What would leave no atom to go on from is not drawn.
            likely = torch.tensor([0.5, 0.2, 0.2, 0.1]) * (VALENCE - 1 + free[:atom].sum() > 0)
            kinds[at, atom] = torch.multinomial(likely, 1, generator=generator)
            free[atom] = VALENCE[kinds[at, atom]] - 1
    positions = relaxed(kinds, bonded, generator)
    elements = torch.tensor(ELEMENTS)[kinds]
    return Conformers(positions, elements, elements > 0), properties(kinds, bonded, distances(positions))


def distances(positions):
    return (positions[:, :, None] - positions[:, None]).square().sum(-1).add(1e-6).sqrt()


def relaxed(kinds, bonded, generator):
    length = RADIUS[kinds][:, :, None] + RADIUS[kinds][:, None]
    neighbours = (bonded @ bonded > 0).float() * (1 - bonded) * (1 - torch.eye(ATOMS))
    apart = (1 - bonded) * (1 - torch.eye(ATOMS))
    positions = (2 * torch.randn(len(kinds), ATOMS, 3, generator=generator)).requires_grad_(True)
    adam = torch.optim.Adam([positions], lr=0.05)
    for _ in range(300):
        adam.zero_grad()
        found = distances(positions)
        energy = 10 * bonded * (found - length).square() + 2 * neighbours * (found - 2.4).square()
        (energy + apart * (2.8 - found).clamp(min=0).square()).sum().backward()
        adam.step()
    return (positions - positions.mean(1, keepdim=True)).detach()


def properties(kinds, bonded, found):
    levels = torch.tensor([0.0, -0.5, -1.0, -1.5])[kinds]
    hopping = -torch.exp(-(found - 1.4) / 0.35) * (1 - torch.eye(ATOMS))
    energies = torch.linalg.eigvalsh((torch.diag_embed(levels) + hopping).double()).float()
    pull = PULL[kinds]
    charges = 0.2 * (bonded * (pull[:, :, None] - pull[:, None])).sum(1)
    pairs = charges[:, :, None] * charges[:, None] * (1 - torch.eye(ATOMS)) / found
    filled = ATOMS // 2
    return torch.stack(
        [
            energies[:, filled - 1],
            energies[:, filled] - energies[:, filled - 1],
            pairs.sum((1, 2)) / 2,
            charges.square().sum(1),
        ],
        dim=1,
    )


class Unlabelled(TaskSource):
    """Molecules without labels, drawn at random."""

    spec = TaskSpec("regression", (4 * ATOMS,), 1)

    def sample(self, tasks, generator, split="train"):
        rows = molecules()[0].take(slice(UNLABELLED)).packed()
        x = rows[torch.randint(len(rows), (tasks, 64), generator=generator)]
        return Episode(Examples(x[:, :32], x[:, :32, :1]), Examples(x[:, 32:], x[:, 32:, :1]))


def net(seed):
    return ConformerNet(width=48, layers=3, elements=ELEMENTS, seed=seed)


@cache
def acquired(seed) -> MoleculeDiffusion:
    prior = MoleculeDiffusion(net(seed), levels=500)
    return acquire(prior, Unlabelled(), steps=4000, validations=0, seed=seed).prior


def errors(predicted, labels):
    """Return the mean absolute error of each property, in units of its spread, on the test molecules."""
    true = molecules()[1][-TEST:]
    return (predicted - true).abs().mean(0) / true.std(0)


def of_fine_tuning(start, labels, seed):
    known, values = molecules()
    part = slice(UNLABELLED, UNLABELLED + labels)
    tuned = SumPooled(start, seed=seed).fit(known.take(part), values[part])
    return errors(tuned.predict(known.take(slice(-TEST, None))), labels).mean().item()


def of_ridge(features, labels):
    values, part = molecules()[1], slice(UNLABELLED, UNLABELLED + labels)
    spread = features[part].std(0).clamp(min=1e-6)
    x = ((features - features[part].mean(0)) / spread).double()
    y, real = values[part].double(), torch.ones(1, labels, dtype=torch.float64)
    return errors(ridge(x[None, part], y[None], real, x[None, -TEST:])[0][0].float(), labels)


def test_properties_are_those_of_their_molecules():
    """Four pairs of atoms far from each other and one alone, whose levels and charges are written down by hand."""
    kinds = torch.zeros(1, ATOMS, dtype=torch.int64)
    kinds[0, 1] = 3
    bonded = torch.zeros(1, ATOMS, ATOMS)
    bonded[0, 0, 1] = bonded[0, 1, 0] = 1
    far = 100.0 * (1 - torch.eye(ATOMS))[None]
    for left in (0, 2, 4, 6):
        far[0, left, left + 1] = far[0, left + 1, left] = 1.4
    low = -0.75 - (0.75**2 + 1) ** 0.5
    high = -0.75 + (0.75**2 + 1) ** 0.5
    homo, gap, coulomb, squares = properties(kinds, bonded, far + torch.eye(ATOMS))[0].tolist()
    assert sorted([low, -1, -1, -1, 0, high, 1, 1, 1])[3:5] == pytest.approx([homo, gap + homo])
    charge = 0.2 * (3.98 - 2.55)
    assert squares == pytest.approx(2 * charge**2)
    assert coulomb == pytest.approx(-(charge**2) / 1.4)


@pytest.mark.slow
@pytest.mark.xfail(strict=True, reason="0.97 of the error from scratch at 100 labels, where 0.8 was wanted")
@pytest.mark.parametrize("seed", [0])
def test_fine_tuning_a_generator_needs_fewer_labels_than_learning_from_scratch(seed):
    for labels, margin in ((100, 0.8), (400, 0.9)):
        tuned = of_fine_tuning(acquired(seed).average, labels, seed)
        scratch = of_fine_tuning(net(seed), labels, seed)
        assert tuned < margin * scratch, (labels, tuned, scratch)


@pytest.mark.slow
@pytest.mark.xfail(strict=True, reason="an error of 0.79 at 100 labels, where random weights have 0.82 and counts 0.81")
@pytest.mark.parametrize("seed", [0])
def test_frozen_features_of_a_generator_know_the_gap(seed):
    """By a tenth of its spread better than those of random weights, and than the numbers of atoms."""
    known = molecules()[0]
    for labels in (100, 400):
        generated = of_ridge(acquired(seed).encode(known), labels)[1]
        untrained = of_ridge(MoleculeDiffusion(net(seed), levels=500).eval().encode(known), labels)[1]
        counted = of_ridge(composition(known, ELEMENTS).float(), labels)[1]
        assert generated < min(untrained, counted) - 0.1, (labels, generated, untrained, counted)
