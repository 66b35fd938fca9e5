"""The prior: a loss of noise, features that do not depend on how a molecule lies, samples of given sizes."""

import pytest
import torch

from metaprior import acquire, load, save
from metaprior.errors import MetapriorError
from metaprior.molecules import MoleculeDiffusion
from metaprior.molecules.conformer_net import ConformerNet
from metaprior.molecules.conformers import Conformers, embed
from metaprior.nets import MLP
from metaprior.tasks import Episode, Examples, TaskSource, TaskSpec

pytest.importorskip("rdkit")

SMILES = ["CCO", "CC#N", "C=CC", "NCC(=O)O", "C1CC1", "COC", "CNC", "O=C=O"]


@pytest.fixture(scope="module")
def molecules() -> Conformers:
    return embed(SMILES, cache=False)[0]


def build(**arguments) -> MoleculeDiffusion:
    net = ConformerNet(width=16, layers=2, elements=(1, 6, 7, 8), seed=arguments.pop("seed", 0))
    return MoleculeDiffusion(net, **({"levels": 50} | arguments)).eval()


def turned(molecules: Conformers) -> Conformers:
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))
    return molecules._replace(positions=molecules.positions @ turn + torch.tensor([3.0, -1.0, 2.0]))


class Waters(TaskSource):
    """Water, with its angle as the target."""

    spec = TaskSpec("regression", (12,), 1)

    def sample(self, tasks, generator, split="train"):
        angle = 1.5 + torch.rand(tasks, 24, generator=generator)
        zero, one = torch.zeros_like(angle), torch.ones_like(angle)
        atoms = [8 * one, zero, zero, zero, one, one, zero, zero, one, angle.cos(), angle.sin(), zero]
        x, y = torch.stack(atoms, dim=-1), angle[..., None]
        return Episode(Examples(x[:, :8], y[:, :8]), Examples(x[:, 8:], y[:, 8:]))


@pytest.mark.parametrize("level", [0.0, 0.3])
def test_features_do_not_depend_on_place_padding_or_company(molecules, level):
    prior = build()
    features = prior.encode(molecules, level)
    assert features.shape == (len(SMILES), 32)
    assert torch.allclose(prior.encode(turned(molecules), level), features, atol=1e-4)
    padded = Conformers(*(torch.cat([leaf, torch.zeros_like(leaf)], dim=1) for leaf in molecules))
    assert torch.allclose(prior.encode(padded, level), features, atol=1e-6)
    assert torch.allclose(prior.encode(molecules.take([3]), level, draws=2), prior.encode(molecules, level, draws=2)[3])
    assert prior.encode(molecules.take([])).shape == (0, 32)


def test_tasks_beside_one_another_do_not_change_its_noise(molecules):
    """A task of small molecules, then one of larger ones, as tasks of one step and alone."""
    prior, rows = build(), molecules.packed()[molecules.sizes.argsort()]
    x = rows.unflatten(0, (2, -1))
    both, *each = (
        prior.loss(Episode(Examples(part[:, :2], part[:, :2, :1]), Examples(part[:, 2:], part[:, 2:, :1])))
        for part in (x, x[:1], x[1:])
    )
    torch.testing.assert_close(both, sum(each) / 2)


def test_settings_of_features_are_heard(molecules):
    prior = build()
    plain = prior.encode(molecules)
    for changed in ({"noise_level": 0.5}, {"layer": 1}, {"noise_level": 0.5, "draws": 3}):
        assert not torch.allclose(prior.encode(molecules, **changed), plain)
        assert prior.encode(molecules, **changed).equal(build(**changed).encode(molecules))
    layers = prior.encode_layers(molecules, 0.5)
    assert layers.shape == (3, len(SMILES), 32)
    assert layers[1].equal(prior.encode(molecules, 0.5, layer=1))
    with pytest.raises(MetapriorError, match="layer: expected 0 to 2, got 3"):
        prior.encode(molecules, layer=3)


def test_the_loss_is_that_of_the_noise_that_was_added():
    """A network that says that there is no noise errs by the variance of noise: 1, less what centring took."""
    prior = build()
    torch.nn.init.zeros_(prior.net.noise.weight)
    for layer in prior.net.graph.layers:
        torch.nn.init.zeros_(layer.step.weight)
    losses = [prior.loss(Waters().sample(10, torch.Generator().manual_seed(seed))).item() for seed in range(5)]
    # Of 3 atoms with 3 + 4 numbers, centring takes 3.
    assert sum(losses) / 5 == pytest.approx(18 / 21, abs=0.03)


def test_it_learns_to_tell_noise_and_what_it_learns_is_of_use(tmp_path):
    prior = build(batch=24)
    before = prior.loss(Waters().sample(20, torch.Generator().manual_seed(9)))
    found = acquire(prior, Waters(), steps=150, tasks_per_step=2, learning_rate=3e-3, validations=1, out=tmp_path)
    after = found.prior.loss(Waters().sample(20, torch.Generator().manual_seed(9)))
    assert after < 0.6 * before
    assert found.log[-1].validation < 0.01, "the mean squared error of an angle of variance 1 / 12"
    again = load(tmp_path)
    x = Waters().sample(1, torch.Generator().manual_seed(1)).query.x
    assert again._features(x).equal(prior._features(x))
    assert int(again.sizes[3]) == int(again.sizes.sum()) == 150 * 2 * 24


def test_samples_have_the_sizes_that_were_met():
    prior = build().train()
    with pytest.raises(MetapriorError, match="sizes: this prior has met no molecules yet"):
        prior.sample(3)
    prior.loss(Waters().sample(1, torch.Generator().manual_seed(0)))
    found = prior.eval().sample(5, seed=1, steps=4)
    assert found.sizes.tolist() == [3] * 5
    assert set(found.elements.flatten().tolist()) <= {1, 6, 7, 8}
    assert found.positions.isfinite().all()
    assert prior.sample(5, seed=1, steps=4).positions.equal(found.positions)
    assert not prior.sample(5, seed=2, steps=4).positions.equal(found.positions)
    assert prior.sample(2, sizes=[1, 6], steps=2).sizes.tolist() == [1, 6]


def test_groups_of_molecules_of_like_size_change_nothing(molecules, monkeypatch):
    prior, x = build(), molecules.packed()[None]
    whole = Episode(Examples(x[:, :3]), Examples(x[:, 3:]))
    found = []
    for at_once in (1, 3, 100):
        monkeypatch.setattr(ConformerNet, "at_once", at_once)
        found.append((prior.loss(whole), prior.encode(molecules)))
    for loss, features in found[1:]:
        assert torch.allclose(loss, found[0][0], atol=1e-6)
        assert torch.allclose(features, found[0][1], atol=1e-5)


def test_the_average_follows_the_weights():
    prior, episode = build(decay=0.5).train(), Waters().sample(1, torch.Generator().manual_seed(0))
    kept = prior.average.noise.weight.clone()
    with torch.no_grad():
        prior.net.noise.weight.add_(1)
    prior.eval().loss(episode)
    assert prior.average.noise.weight.equal(kept), "only training moves it"
    prior.train().loss(episode)
    assert torch.allclose(prior.average.noise.weight, kept + 0.9, atol=1e-6), "a tenth of the first weights is kept"
    for _ in range(40):
        prior.loss(episode)
    assert torch.allclose(prior.average.noise.weight, prior.net.noise.weight, atol=1e-4)


def test_it_is_stored_with_its_sizes_and_average(tmp_path, molecules):
    prior = build(noise_level=0.1, layer=1).train()
    prior.loss(Waters().sample(1, torch.Generator().manual_seed(0)))
    again = load(save(prior, tmp_path))
    assert again.sizes.equal(prior.sizes)
    assert again.encode(molecules).equal(prior.encode(molecules))


def test_wrong_arguments():
    with pytest.raises(MetapriorError, match="net: expected a ConformerNet"):
        MoleculeDiffusion(MLP(3))
    with pytest.raises(MetapriorError, match="noise_level"):
        build(noise_level=1.5)
    with pytest.raises(MetapriorError, match="tasks: expected molecules with the featuriser 'conformer'"):
        MoleculeDiffusion.for_tasks(TaskSpec("regression", (3,), 1))
    with pytest.raises(MetapriorError, match="elements: expected different atomic numbers"):
        ConformerNet(elements=(6, 6))
    assert MoleculeDiffusion.for_tasks(TaskSpec("classification", (16,), 2)).outputs == 2
