"""Sequences of tasks: with the penalty nothing is forgotten, without it much is."""

import pytest
import torch

from metaprior.errors import MetapriorError, ShapeError
from metaprior.hyper import ContinualHypernet, DynamicHypernetwork, Hypernetwork
from metaprior.nets import MLP, Conv4
from metaprior.tasks import Examples
from metaprior.tasks.scores import task_scores
from metaprior.tasks.sequences import split_digits

X = torch.linspace(-1, 1, 8)[None, :, None]


def learned(sequence, **arguments):
    prior = ContinualHypernet(MLP(64, 2, hidden=(32,)), steps=200, **arguments)
    state, fresh = prior.start(1), []
    for episode in sequence:
        state = prior.observe(state, episode.support)
        fresh.append(accuracy(prior, state, episode))
    return prior, state, fresh


def accuracy(prior, state, episode):
    return task_scores(prior.predict(state, episode.query.x), episode.query).item()


@pytest.fixture(scope="module", params=[0.0, 1.0], ids=["free", "held"])
def digits(request):
    sequence = split_digits()
    prior, state, fresh = learned(sequence, penalty=request.param)
    kept = [accuracy(prior, prior.recall(state, task), episode) for task, episode in enumerate(sequence)]
    return request.param, sequence, prior, state, sum(fresh) / 5, sum(kept) / 5


def test_the_penalty_keeps_what_was_learned(digits):
    penalty, *_, fresh, kept = digits
    assert fresh > 0.9
    if penalty:
        assert kept > fresh - 0.03
    else:
        assert kept < fresh - 0.1


def test_a_guess_is_the_prediction_of_the_surest_code(digits):
    _, sequence, prior, state, *_ = digits
    x = sequence[2].query.x
    logits, chosen = prior.guess(state, x)
    every = torch.stack([prior.predict(prior.recall(state, task), x) for task in range(5)])
    surest = every.softmax(-1).amax(-1).argmax(0)  # of two classes, the least entropy is the largest probability
    assert torch.equal(chosen, surest)
    assert torch.equal(logits[0], every[surest[0], 0, torch.arange(x.shape[1])])


def test_sequences_side_by_side_are_learned_as_if_alone():
    prior = ContinualHypernet(MLP(1, 1), steps=20, half_width=0.1)
    both = torch.cat([X, -X])
    state = prior.observe(prior.observe(prior.start(2), Examples(both, both.square())), Examples(both, -both))
    alone = prior.observe(prior.observe(prior.start(1), Examples(-X, X.square())), Examples(-X, X))
    torch.testing.assert_close(state.codes[1:], alone.codes, rtol=1e-3, atol=1e-4)


def test_every_corner_of_an_interval_serves_the_task():
    errors = {}
    for half_width in (0.0, 0.5):
        prior = ContinualHypernet(MLP(1, 1), steps=300, half_width=half_width)
        state = prior.observe(prior.start(1), Examples(X, X))
        corners = torch.randint(2, (50, 16), generator=torch.Generator().manual_seed(1)) - 0.5
        predictions = [
            prior.predict(state._replace(weights=state.weights | {"code": state.codes[:, 0] + corner}), X)
            for corner in corners
        ]
        errors[half_width] = max((prediction - X).square().mean().item() for prediction in predictions)
    assert errors[0.5] < 0.3 * errors[0.0]


def test_what_all_intervals_share_is_between_the_codes():
    prior = ContinualHypernet(MLP(1, 1), steps=5, half_width=0.5)
    assert prior.universal(prior.start(1)).codes.shape == (1, 0, 16)
    state = prior.observe(prior.observe(prior.start(1), Examples(X, X)), Examples(X, -X))
    shared = prior.universal(state).weights["code"]
    assert ((shared - state.codes[:, 0]).abs() <= 0.5).all()
    torch.testing.assert_close(shared, state.codes.mean(1))


def test_batch_norms_are_recalled_with_their_task():
    prior = ContinualHypernet(Conv4(1, 16, 2, width=4), steps=3, hidden=4)
    random = torch.Generator().manual_seed(0)
    tasks = [Examples(torch.rand(1, 6, 1, 16, 16, generator=random), torch.tensor([[0, 1] * 3])) for _ in range(2)]
    first = prior.observe(prior.start(1), tasks[0])
    second = prior.observe(first, tasks[1])
    recalled = prior.recall(second, 0)
    for (mean, variance), (before, spread) in zip(recalled.statistics, first.statistics, strict=True):
        assert torch.equal(mean, before)
        assert torch.equal(variance, spread)
    assert not torch.equal(second.statistics[0][0], first.statistics[0][0])
    assert prior.predict(prior.universal(second), tasks[0].x).isfinite().all()


def test_what_is_not_generated_stays():
    prior = ContinualHypernet(Hypernetwork(MLP(1, 1), generated="^head"), steps=100, penalty=100.0)
    first = prior.observe(prior.start(1), Examples(X, X))
    second = prior.observe(first, Examples(X, -X))
    assert not any(name.startswith("net.") for name in second.weights)
    drift = (prior.predict(prior.recall(second, 0), X) - prior.predict(first, X)).abs().max()
    assert drift < 0.1


def test_what_cannot_be_is_refused():
    with pytest.raises(MetapriorError, match="expected a hypernetwork whose code alone decides"):
        ContinualHypernet(DynamicHypernetwork(MLP(1, 1)))
    with pytest.raises(MetapriorError, match="replace_builtin_norms"):
        ContinualHypernet(torch.nn.Sequential(torch.nn.Linear(1, 2), torch.nn.BatchNorm1d(2)))
    with pytest.raises(MetapriorError, match="penalty, half_width: expected 0 or more, got -1 and 0"):
        ContinualHypernet(MLP(1, 1), penalty=-1)
    prior = ContinualHypernet(MLP(1, 1), steps=1)
    with pytest.raises(MetapriorError, match="expected one task learned, or more"):
        prior.guess(prior.start(1), X)
    with pytest.raises(MetapriorError, match="expected one task learned, or more"):
        prior.recall(prior.start(1), 0)
    with pytest.raises(ShapeError, match="examples: expected T = 2 tasks as in state, got 1"):
        prior.observe(prior.start(2), Examples(X, X))
    state = prior.observe(prior.start(1), Examples(X, X))
    with pytest.raises(MetapriorError, match="expected tasks of two classes or more"):
        prior.guess(state, X)
    with pytest.raises(MetapriorError, match="task: expected a number from 0 to 0, since 1 were learned; got 3"):
        prior.recall(state, 3)
