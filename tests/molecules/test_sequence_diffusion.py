"""The prior: its loss against enumeration and entropy, features, samples of a known distribution, use on molecules."""

from itertools import combinations, product

import pytest
import torch
from torch.nn import functional

from metaprior import FineTune, acquire, load, save
from metaprior.errors import MetapriorError, ShapeError
from metaprior.molecules import GenerativePrior, SequenceDiffusion
from metaprior.molecules.featurise import featurise
from metaprior.molecules.featurisers import Descriptors
from metaprior.molecules.nci import nci_smiles
from metaprior.molecules.token_featurisers import SmilesTokens, Tokens, tokens_of
from metaprior.nets import MLP, Transformer
from metaprior.tasks import Episode, Examples, TaskSource, TaskSpec

LETTERS = ("A", "B")


def build(tokens: tuple[str, ...] = LETTERS, inputs: int = 6, **arguments) -> SequenceDiffusion:
    net = Transformer(inputs, len(tokens), width=8, layers=2, heads=2, seed=arguments.pop("seed", 0))
    return SequenceDiffusion(net, tokens, **arguments).eval()


def rows(*texts: str, size: int = 6) -> torch.Tensor:
    return torch.tensor([[LETTERS.index(one) + 1 for one in text] + [0] * (size - len(text)) for text in texts]).float()


class Known(Transformer):
    """Tells the true chances of each hidden token under a table of the chances of all sequences of three letters."""

    table: torch.Tensor

    def states(self, ids: torch.Tensor, real: torch.Tensor) -> list[torch.Tensor]:
        every = torch.tensor(list(product((1, 2), repeat=3)))
        fits = ((ids[:, None] == every) | (ids[:, None] == 0)).all(-1) * self.table
        each = torch.stack([fits @ (every == one).to(fits) for one in (1, 2)], dim=-1)
        return [(each / each.sum(-1, keepdim=True)).clamp(min=1e-30).log()]

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        return states


def known() -> SequenceDiffusion:
    net = Known(3, 2, width=4, layers=1, heads=1)
    net.table = torch.rand(8, generator=torch.Generator().manual_seed(0)).square()
    net.table /= net.table.sum()
    return SequenceDiffusion(net, LETTERS).eval()


def hidden_errors(prior: SequenceDiffusion, row: torch.Tensor) -> dict[tuple[int, ...], float]:
    """Return the sum of cross-entropies of the hidden tokens for every set of hidden places."""
    ids, found = row[row > 0].long(), {}
    for count in range(1, len(ids) + 1):
        for places in combinations(range(len(ids)), count):
            asked = torch.zeros(len(ids), dtype=torch.bool)
            asked[list(places)] = True
            state = prior.net.states(ids.masked_fill(asked, 0)[None], torch.ones(1, len(ids), dtype=torch.bool))[-1]
            wrong = functional.cross_entropy(prior.net.logits(state)[0][asked], ids[asked] - 1, reduction="sum")
            found[places] = wrong.item()
    return found


def test_the_loss_is_the_bound_of_masked_diffusion():
    """The mean over draws is the integral over times, by quadrature over every set of hidden tokens."""
    prior, row = build(), rows("ABBA")[0]
    errors = hidden_errors(prior, row)
    times = (torch.arange(2000) + 0.5) / 2000
    chances = {places: times ** len(places) * (1 - times) ** (4 - len(places)) for places in errors}
    bound = sum((chances[places] * error / times).mean().item() for places, error in errors.items()) / 4
    with torch.no_grad():
        drawn = prior._errors(row.expand(8000, -1), [(8000, 1)]).mean().item()
    assert drawn == pytest.approx(bound, rel=0.02)


def test_true_conditionals_attain_the_entropy():
    prior = known()
    table = prior.net.table
    every = torch.tensor(list(product((1.0, 2.0), repeat=3)))
    found = torch.stack([prior._errors(row.expand(4000, -1), [(4000, 1)]).mean() for row in every])
    entropy = -(table * table.log()).sum()
    assert float(3 * (table * found).sum()) == pytest.approx(float(entropy), rel=0.02)


def test_hidden_tokens_alone_are_scored(monkeypatch):
    prior, told = build(), {}
    states, logits = prior.net.states, prior.net.logits
    monkeypatch.setattr(prior.net, "states", lambda ids, real: told.update(ids=ids, real=real) or states(ids, real))
    monkeypatch.setattr(prior.net, "logits", lambda state: told.update(asked=len(state)) or logits(state))
    x = rows("ABAB", "BB", "A", "ABBABA")
    for seed in range(10):
        errors = prior._errors(x, [(4, seed)])
        hidden = told["real"] & (told["ids"] == 0)
        assert told["asked"] == int(hidden.sum())
        assert (hidden.sum(1) >= 1).all()
        assert errors.isfinite().all()


def test_padding_order_and_groups_change_nothing(monkeypatch):
    prior = build(noise_level=0.4)
    x = rows("ABAB", "BB", "A", "ABBABA", "BAB")
    features, errors = prior.encode(x), prior._errors(x, [(2, 1), (3, 2)])
    assert features.shape == (5, 16)
    wider = functional.pad(x, (0, 9))
    assert torch.allclose(prior.encode(wider), features, atol=1e-6)
    assert torch.allclose(prior._errors(wider, [(2, 1), (3, 2)]), errors, atol=1e-6)
    order = torch.tensor([3, 0, 4, 2, 1])
    assert torch.allclose(prior.encode(x[order]), features[order], atol=1e-6)
    monkeypatch.setattr(Transformer, "at_once", 2)
    assert torch.allclose(prior.encode(x), features, atol=1e-6)
    assert torch.allclose(prior._errors(x, [(2, 1), (3, 2)]), errors, atol=1e-6)
    assert prior.encode(x[:0]).shape == (0, 16)


def test_settings_of_features_are_heard():
    prior, x = build(), rows("ABABAB", "BBA")
    plain = prior.encode(x)
    assert plain.equal(prior.encode(x, draws=3)), "nothing is hidden, so that nothing is drawn"
    for changed in ({"noise_level": 0.5}, {"layer": 0}, {"noise_level": 0.5, "draws": 1}):
        assert not torch.allclose(prior.encode(x, **changed), plain)
        assert prior.encode(x, **changed).equal(build(**changed).encode(x))
    assert prior.encode(tokens_of(x)).equal(plain)
    # With all hidden, a sequence is known by its length alone.
    assert torch.allclose(prior.encode(rows("AAA"), 1.0), prior.encode(rows("BBA"), 1.0))
    with pytest.raises(MetapriorError, match="layer: expected 0 to 2, got 3"):
        prior.encode(x, layer=3)


def test_samples_are_of_the_distribution_that_is_told():
    prior = known()
    found = prior.sample(6000, seed=1, sizes=[3] * 6000)
    shares = torch.tensor([found.count("".join(text)) / 6000 for text in product(LETTERS, repeat=3)])
    assert torch.allclose(shares, prior.net.table, atol=0.02)
    at_once = prior.sample(6000, seed=1, steps=1, sizes=[3] * 6000)
    shares = torch.tensor([at_once.count("".join(text)) / 6000 for text in product(LETTERS, repeat=3)])
    assert not torch.allclose(shares, prior.net.table, atol=0.02), "tokens told at once do not know of each other"


def test_samples_repeat_and_have_the_sizes_that_were_met():
    prior = build().train()
    with pytest.raises(MetapriorError, match="sizes: this prior has met no molecules yet"):
        prior.sample(3)
    x = rows("AAB", "BBA")[None]
    prior.loss(Episode(Examples(x), Examples(x)))
    first, again, other = (prior.eval().sample(20, seed=seed) for seed in (0, 0, 1))
    assert {len(text) for text in first} == {3}
    assert first == again != other
    assert [len(text) for text in prior.sample(3, sizes=[1, 6, 2], steps=2)] == [1, 6, 2]
    with pytest.raises(MetapriorError, match="sizes: expected at most 6 tokens, got 7"):
        prior.sample(1, sizes=[7])


def test_it_is_stored_with_its_vocabulary_and_sizes(tmp_path):
    prior = build(layer=1, noise_level=0.2).train()
    x = rows("AAB", "BBA")[None]
    prior.loss(Episode(Examples(x), Examples(x)))
    again = load(save(prior, tmp_path))
    assert again.sample(4, seed=3) == prior.eval().sample(4, seed=3)
    assert again.encode(x[0]).equal(prior.encode(x[0]))
    assert isinstance(again, GenerativePrior)


def test_its_network_can_be_fine_tuned():
    spec = TaskSpec("regression", (6,), 1, tokens=LETTERS)
    x = rows("AAB", "BBA", "ABABAB", "B")[None]
    y = (x == 1).sum(-1, keepdim=True).float()
    prior = FineTune.for_tasks(spec, net=build().net, steps=25, learning_rate=2e-2).eval()
    tuned = prior.predict(prior.observe(prior.start(1), Examples(x, y)), x)
    assert (tuned - y).abs().mean() < 0.3


class Strings(TaskSource):
    """SMILES of the NCI; how often each of 34 functional groups occurs, standardised. The last 700 are for the test."""

    def __init__(self):
        featuriser = SmilesTokens(size=40)
        found = featurise(nci_smiles(2500), featuriser, cache=False, processes=1)
        good = torch.tensor([at for at in range(2500) if at not in found.problems])
        groups = [name for name, _ in pytest.importorskip("rdkit.Chem.Descriptors").descList if name.startswith("fr_")]
        told = featurise([found.smiles[at] for at in good], Descriptors(groups), cache=False, processes=1).rows
        counts = told.dense(torch.arange(len(good)))
        share = (counts > 0).float().mean(0)
        kept = counts[:, (share > 0.05) & (share < 0.95)]
        self.x, self.y = found.rows.dense(good), (kept - kept.mean(0)) / kept.std(0)
        self.spec = TaskSpec("regression", (40,), self.y.shape[1], tokens=featuriser.tokens)

    def sample(self, tasks, generator, split="train"):
        index = torch.randint(len(self.x) - 700, (tasks, 64), generator=generator)
        x, y = self.x[index], self.y[index]
        return Episode(Examples(x[:, :32], y[:, :32]), Examples(x[:, 32:], y[:, 32:]))

    def error(self, prior: SequenceDiffusion) -> float:
        """Return the mean squared error for 400 new molecules after 300 labelled ones."""
        x, y = self.x[None, -700:], self.y[None, -700:]
        state = prior.observe(prior.start(1), Examples(x[:, :300], y[:, :300]))
        return float((prior.predict(state, x[:, 300:]) - y[:, 300:]).square().mean())


def test_what_is_acquired_beats_random_weights():
    """Three seeds gave 0.94, 0.92 and 0.92 of the error of random weights (0.72 against 0.76 for the first).

    Half the steps gave nothing, and neither did 50 labels. A miss: a ridge on how often each token occurs gave 0.63.
    """
    pytest.importorskip("rdkit")
    source = Strings()

    def new() -> SequenceDiffusion:
        net = Transformer(40, len(source.spec.tokens), width=32, layers=3, heads=2)
        return SequenceDiffusion.for_tasks(source.spec, net, decay=0.99, batch=64).eval()

    prior = new()
    acquire(prior, source, steps=450, tasks_per_step=1, learning_rate=7e-3, validations=0)
    assert source.error(prior) < 0.97 * source.error(new()) < 0.8


def test_wrong_arguments():
    with pytest.raises(MetapriorError, match="net: expected a Transformer without outputs"):
        SequenceDiffusion(MLP(3), LETTERS)
    with pytest.raises(MetapriorError, match="vocabulary: expected the 2 tokens of the network, got 3"):
        SequenceDiffusion(Transformer(6, 2, width=8), ("A", "B", "C"))
    with pytest.raises(MetapriorError, match="tasks: expected token ids"):
        SequenceDiffusion.for_tasks(TaskSpec("regression", (3,), 1))
    assert isinstance(tokens_of(rows("A")), Tokens)
    prior = build()
    with pytest.raises(MetapriorError, match="noise_level: expected 0 to 1, got 2"):
        prior.encode(rows("AB"), noise_level=2.0)
    with pytest.raises(MetapriorError, match="draws: expected a positive number, got 0"):
        prior.encode(rows("AB"), noise_level=0.5, draws=0)
    with pytest.raises(ShapeError, match="molecules: expected at most 6 tokens, got 7"):
        prior.encode(torch.ones(1, 7))
    with pytest.raises(ShapeError, match="molecules: expected ids of 2 tokens, got 3"):
        prior.encode(torch.tensor([[3.0]]))


def test_a_task_without_examples_has_no_loss():
    x = torch.stack([rows("AAB", "BBA"), rows("A", "B")])
    mask = torch.tensor([[True, True], [False, False]])
    both, first = (
        build().loss(Episode(Examples(part, part[..., :1], real), Examples(part[:, :0], part[:, :0, :1])))
        for part, real in ((x, mask), (x[:1], mask[:1]))
    )
    torch.testing.assert_close(both, first / 2)
