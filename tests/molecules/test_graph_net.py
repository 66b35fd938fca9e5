"""The network of graphs: against a plain loop over atoms and bonds, and what may not matter to it."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from torch.nn import functional

from metaprior import MAML, ProtoNet
from metaprior.errors import MetapriorError, ShapeError
from metaprior.molecules import NCI, MultitaskProbe
from metaprior.molecules.featurise import featurise
from metaprior.molecules.graph_net import GraphNet
from metaprior.molecules.graphs import ATOM_SIZES, WIDTH, Graph, graphs_of
from metaprior.nets import MLP, default_net, net_for
from metaprior.tasks import Examples, TaskSpec

SMILES = ["CC(=O)Nc1ccc(O)cc1", "C[N+](C)(C)C", "N#C/C=C/F", "O", "O=C1CC[C@H](N)C1", "FC(F)(F)c1ccncc1", "C1CC1"]


def rows(smiles=tuple(SMILES), atoms=12, dtype=torch.float32):
    found = featurise(smiles, Graph(atoms), "keep", cache=False)
    assert not found.problems
    return found.rows.dense(torch.arange(len(smiles))).to(dtype)


def net(outputs=None, atoms=12, dtype=torch.float32, **arguments):
    return GraphNet(WIDTH * atoms, outputs, **({"width": 8, "layers": 3} | arguments)).to(dtype)


def plain(built, row):
    """Return the features of one molecule, an atom and a bond at a time."""
    graphs = graphs_of(row[None])
    size, offsets = int(graphs.sizes), [sum(ATOM_SIZES[:at]) for at in range(len(ATOM_SIZES))]
    state = [
        sum(built.atoms[offset + int(one)] for offset, one in zip(offsets, graphs.atoms[0, at], strict=True))
        for at in range(size)
    ]
    for block in built.blocks:
        new = []
        for at in range(size):
            received = torch.zeros_like(state[at])
            for place, bond in zip(graphs.neighbours[0, at], graphs.bonds[0, at], strict=True):
                if bond:
                    received = received + functional.relu(state[place] + block.bonds[bond])
            hidden = block.norm((1 + block.own) * state[at] + received)
            new.append(state[at] + block.narrow(functional.relu(block.wide(hidden))))
        state = new
    last = torch.stack([built.norm(one) for one in state])
    spread = ((last - last.mean(0)).square().mean(0) + 1e-12).sqrt() - 1e-6
    return torch.cat([last.mean(0), spread, last.sum(0) / 25])


def test_it_is_a_loop_over_atoms_and_bonds():
    built, x = net(dtype=torch.float64), rows(dtype=torch.float64)
    with torch.no_grad():
        for block in built.blocks:
            block.own.fill_(0.3)
        wanted = torch.stack([plain(built, row) for row in x])
        torch.testing.assert_close(built(x), wanted, rtol=0, atol=1e-12)
    assert built(x).shape == (len(SMILES), built.features)


@settings(max_examples=30)
@given(st.data())
def test_neither_the_order_of_atoms_nor_padding_matters(data):
    text = data.draw(st.sampled_from(SMILES))
    molecule = Chem.MolFromSmiles(text)
    order = data.draw(st.permutations(range(molecule.GetNumAtoms())))
    shuffled = Chem.MolToSmiles(Chem.RenumberAtoms(molecule, order), canonical=False)
    one, other = rows([text], dtype=torch.float64), rows([shuffled], atoms=16, dtype=torch.float64)
    built, wide = net(dtype=torch.float64), net(atoms=16, dtype=torch.float64)
    torch.testing.assert_close(built(one), wide(other), rtol=0, atol=1e-10)


def test_a_molecule_does_not_see_those_beside_it():
    built, x = net(outputs=2, dtype=torch.float64), rows(dtype=torch.float64)
    apart = torch.cat([built(row[None]) for row in x])
    torch.testing.assert_close(built(x), apart, rtol=0, atol=1e-12)
    assert built(torch.zeros(2, x.shape[1], dtype=torch.float64)).isfinite().all(), "padding among examples"
    assert built(x[:0]).shape == (0, 2)


def test_it_transforms():
    built, x = net(outputs=1, dtype=torch.float64), rows(dtype=torch.float64)
    parameters = dict(built.named_parameters())

    def outputs(weights, part):
        return torch.func.functional_call(built, weights, (part,))

    many = {name: torch.stack([value, 1.1 * value]) for name, value in parameters.items()}
    found = torch.func.vmap(outputs)(many, torch.stack([x, x.flip(0)]))
    for at, part in enumerate((x, x.flip(0))):
        wanted = outputs({name: value[at] for name, value in many.items()}, part)
        torch.testing.assert_close(found[at], wanted, rtol=0, atol=1e-12)


def test_second_derivatives_are_those_of_finite_differences():
    built, x = net(outputs=1, width=4, layers=2, dtype=torch.float64), rows(SMILES[:3], dtype=torch.float64)
    weight = built.blocks[0].bonds.detach().clone().requires_grad_(True)

    def loss(weight):
        found = torch.func.functional_call(built, {"blocks.0.bonds": weight}, (x,))
        return found.square().sum()

    assert torch.autograd.gradcheck(loss, weight)
    assert torch.autograd.gradgradcheck(loss, weight)


def test_dropout_is_of_training_alone():
    built, x = net(dropout=0.5), rows()
    assert not torch.equal(built.train()(x), built(x))
    assert torch.equal(built.eval()(x), built(x))


@pytest.mark.parametrize("cls", [MAML, ProtoNet, MultitaskProbe])
def test_priors_take_it_without_being_told(cls):
    source = NCI(molecules=80, featuriser={"name": "graph", "atoms": 40}, shots=6, queries=6)
    prior = cls.for_tasks(source.spec)
    assert isinstance(prior.net, GraphNet)
    before = copy.deepcopy(prior.state_dict())
    episode = source.sample(2, torch.Generator().manual_seed(0))
    prior.loss(episode).backward()
    assert prior.net.atoms.grad.abs().sum() > 0
    state = prior.observe(prior.start(2), episode.support)
    assert prior.predict(state, episode.query.x).isfinite().all()
    assert all(torch.equal(value, before[name]) for name, value in prior.state_dict().items())


def test_gradient_steps_lower_the_loss_of_a_task():
    x = rows()[None]
    size = torch.tensor([Chem.MolFromSmiles(text).GetNumAtoms() for text in SMILES])[None, :, None] / 6.0
    prior = MAML(net(outputs=1, width=16), inner_steps=30, step_size=0.02)
    state = prior.observe(prior.start(1), Examples(x, size))
    errors = [(prior.predict(one, x) - size).square().mean().item() for one in (prior.start(1), state)]
    assert errors[1] < 0.2 * errors[0]


def test_what_it_is_not_for():
    with pytest.raises(MetapriorError, match="inputs: expected a multiple of 19, as the featuriser 'graph' gives"):
        GraphNet(2048)
    with pytest.raises(MetapriorError, match="dropout: expected a share from 0 to below 1, got 1"):
        net(dropout=1)
    with pytest.raises(ShapeError, match=r"x: expected rows of 228 numbers, got \(2, 19\)"):
        net()(torch.zeros(2, 19))
    spec = TaskSpec("regression", (WIDTH * 4,), 1, net="gin")
    assert default_net(spec, 1).outputs == 1
    with pytest.raises(MetapriorError, match="net: the inputs of these tasks are for 'gin' alone, got 'mlp'"):
        net_for("mlp", spec, headless=True)
    assert isinstance(net_for("mlp", TaskSpec("regression", (WIDTH * 4,), 1), headless=True), MLP)
