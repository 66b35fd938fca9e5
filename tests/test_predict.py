"""Predicting for one task: in parts, with standard errors, and with room for every class."""

import pytest
import torch
from torch import nn

from metaprior import MAML, ProtoNet
from metaprior.errors import DataError
from metaprior.metric import Ridge
from metaprior.nets import MLP
from metaprior.predict import ROWS, believe, jackknife, predict_rows
from metaprior.tasks import Examples


def test_many_queries_are_predicted_in_parts():
    prior = ProtoNet(nn.Flatten()).eval()
    x = torch.randn(1, 2 * ROWS + 3, 2, generator=torch.Generator().manual_seed(0))
    state = prior.observe(prior.start(1), Examples(x[:, :4], torch.tensor([[0, 1, 0, 1]])))
    assert torch.allclose(predict_rows(prior, state, x), prior.predict(state, x))


def test_the_jackknife_of_a_mean_is_the_spread_about_it():
    """With constant features a ridge head predicts the mean, of which everything is known in closed form."""
    y = torch.tensor([1.0, 4.0, 2.0, 8.0, 5.0, 7.0], dtype=torch.float64)
    prior = Ridge(nn.Flatten(), outputs=1, penalty=1e-12, scale=1.0, bias=False).double().eval()
    examples = Examples(torch.ones(1, 6, 1, dtype=torch.float64), y[None, :, None])
    error = jackknife(prior, examples, torch.ones(1, 3, 1, dtype=torch.float64))
    assert error.shape == (1, 3, 1)
    without = (y.sum() - y) / 5
    expected = ((y - without).square().mean() + without.var(correction=0)).sqrt()
    assert error[0, 0, 0].item() == pytest.approx(expected.item(), rel=1e-6)
    alone = jackknife(prior, examples, torch.ones(1, 3, 1, dtype=torch.float64), noise=False)
    assert alone[0, 0, 0].item() == pytest.approx((y.std() / 6**0.5).item(), rel=1e-6), "the standard error of a mean"
    # What is right for normal targets is the spread times sqrt(1 + 1 / 6).
    assert error[0, 0, 0].item() == pytest.approx((y.std() * (7 / 6) ** 0.5).item(), rel=0.04)


def test_a_large_support_set_is_left_out_in_groups():
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(1, 400, 1, dtype=torch.float64, generator=generator)
    prior = Ridge(nn.Flatten(), outputs=1, penalty=1e-12, scale=1.0, bias=False).double().eval()
    error = jackknife(prior, Examples(torch.ones_like(y), y), torch.ones(1, 1, 1, dtype=torch.float64)).item()
    assert error == pytest.approx(y.std().item(), rel=0.02)
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    assert jackknife(prior, Examples(torch.ones_like(y), y), one, noise=False).item() == pytest.approx(1 / 20, rel=0.3)


def test_intervals_of_the_jackknife_hold_as_many_as_they_should():
    """95 % of what is measured lies within 1.96 deviations of a line that was fitted to noisy targets."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 1020, 3, dtype=torch.float64, generator=generator)
    y = x.sum(-1, keepdim=True) + 0.7 * torch.randn(60, 1020, 1, dtype=torch.float64, generator=generator)
    prior = Ridge(nn.Flatten(), outputs=1, penalty=1e-3, scale=1.0).double().eval()
    inside = []
    for task in range(60):
        support, query = Examples(x[task : task + 1, :20], y[task : task + 1, :20]), x[task : task + 1, 20:]
        found = predict_rows(prior, believe(prior, support), query)
        error = (y[task : task + 1, 20:] - found).abs()
        inside.append((error <= 1.96 * jackknife(prior, support, query)).double().mean().item())
    assert 0.92 < sum(inside) / 60 < 0.98


def test_predictions_that_depend_on_other_queries_are_not_parted():
    class Centred(ProtoNet):
        transductive = True

        def predict(self, state, x):
            return super().predict(state, x - x.mean(1, keepdim=True))

    prior = Centred(nn.Flatten()).eval()
    x = torch.randn(1, ROWS + 3, 2, generator=torch.Generator().manual_seed(0))
    state = prior.observe(prior.start(1), Examples(x[:, :4], torch.tensor([[0, 1, 0, 1]])))
    assert torch.equal(predict_rows(prior, state, x), prior.predict(state, x))


def test_one_example_has_no_standard_error():
    prior = Ridge(nn.Flatten(), outputs=1).eval()
    x = torch.ones(1, 1, 2)
    assert jackknife(prior, Examples(x, torch.ones(1, 1, 1)), x).isnan().all()


def test_a_belief_has_room_for_every_class():
    support = Examples(torch.zeros(1, 3, 2), torch.tensor([[0, 1, 2]]))
    state = believe(ProtoNet(nn.Flatten(), ways=2).eval(), support, classes=3)
    assert ProtoNet(nn.Flatten(), ways=2).predict(state, torch.zeros(1, 1, 2)).shape == (1, 1, 3)
    with pytest.raises(DataError, match="support: has 3 classes, more than the 2 outputs of the prior"):
        believe(MAML(MLP(2, 2)), support, classes=3)


def test_a_belief_is_of_the_right_kind():
    support = Examples(torch.zeros(1, 3, 2), torch.zeros(1, 3, 1))
    with pytest.raises(DataError, match="support: is for regression; ProtoNet is for classification tasks"):
        believe(ProtoNet(nn.Flatten()), support)
