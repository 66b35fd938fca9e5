"""Deep kernel transfer against exact answers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from metaprior import DKT, acquire, evaluate
from metaprior.errors import MetapriorError, UnknownNameError
from metaprior.nets import MLP
from metaprior.predict import deviation
from metaprior.tasks import Examples, Linear, Sinusoid
from metaprior.testing import ToyTasks

gp = pytest.importorskip("sklearn.gaussian_process")
kernels = pytest.importorskip("sklearn.gaussian_process.kernels")


def test_regression_is_that_of_scikit_learn():
    numbers = torch.Generator().manual_seed(0)
    x, y = (torch.randn(2, 9, 3, dtype=torch.float64, generator=numbers) for _ in range(2))
    prior = DKT(nn.Flatten(), outputs=3, noise=0.3).double()
    with torch.no_grad():
        prior.log_hyper.copy_(torch.tensor([0.5, -1.0, -0.3, np.log(0.3)]))
    state = prior.observe(prior.start(2), Examples(x, y))
    asked = x + 0.5
    kernel = kernels.ConstantKernel(np.exp(0.5)) * kernels.RBF(np.exp(-0.3) * 3**0.5)
    kernel = kernel + kernels.ConstantKernel(np.exp(-1.0)) + kernels.WhiteKernel(0.3 + 1e-4)
    for task in range(2):
        oracle = gp.GaussianProcessRegressor(kernel, optimizer=None, alpha=0).fit(x[task], y[task])
        mean, spread = oracle.predict(asked[task], return_std=True)
        assert np.allclose(prior.predict(state, asked)[task].detach(), mean, atol=1e-9)
        assert np.allclose(prior.deviation(state, asked)[task].detach(), spread, atol=1e-9)


def test_probabilities_are_the_normal_densities_of_the_labels():
    prior, x = DKT(nn.Flatten(), outputs=2).double(), torch.randn(1, 8, 2, dtype=torch.float64)
    labels = (x[..., 0] > 0).long()
    logits = prior.predict(prior.observe(prior.start(1), Examples(x, labels)), x + 0.1)
    values = prior.observe(prior.start(1), Examples(x, 2.0 * labels[..., None] - 1))
    mean, spread = prior.predict(values, x + 0.1), prior.deviation(values, x + 0.1)
    density = [torch.distributions.Normal(mean, spread).log_prob(torch.tensor(end)).exp() for end in (-1.0, 1.0)]
    torch.testing.assert_close(logits.softmax(-1)[..., 1], (density[1] / (density[0] + density[1]))[..., 0])


def test_a_query_far_away_is_as_uncertain_as_before_any_example():
    prior, x = DKT(nn.Flatten(), outputs=2), torch.randn(1, 20, 2, generator=torch.Generator().manual_seed(0))
    state = prior.observe(prior.start(1), Examples(x, (x[..., 0] > 0).long()))
    near, far = prior.predict(state, torch.tensor([[[2.0, 0.0], [200.0, 0.0]]])).softmax(-1)[0, :, 1].tolist()
    assert near > 0.9
    assert abs(far - 0.5) < 0.2


@pytest.mark.parametrize("objective", ["evidence", "predictive"])
def test_learns_the_noise_that_the_tasks_have(objective):
    source = Linear(features=3, shots=10, queries=10, prior_var=3.0, noise_var=0.5)
    prior = DKT(nn.Flatten(), outputs=1, kernel="linear", noise=0.1, objective=objective)
    acquire(prior, source, steps=200, learning_rate=0.05, tasks_per_step=32, validations=0)
    noise, signal = prior.log_hyper[-1].exp().item(), prior.log_hyper[0].exp().item()
    assert 0.35 < noise < 0.7
    assert 2.0 < signal / 3 < 4.5, "weights of variance 3 are a mean product of nine times as much, over three features"


def test_acquired_on_waves_it_beats_the_kernel_that_it_began_with():
    prior, source = DKT.for_tasks(Sinusoid.spec, MLP(1, hidden=(40, 40))), Sinusoid()
    before = evaluate(prior, source, episodes=50).mean
    acquire(prior, source, steps=150, learning_rate=0.01, validations=0)
    assert evaluate(prior, source, episodes=50).mean < before / 2


def test_inputs_beside_features():
    spec = ToyTasks("classification", (4,), outputs=2).spec
    prior = DKT.for_tasks(spec, MLP(4, hidden=(8,)), inputs=True)
    assert prior.inputs == 4
    assert prior.names == ("signal", "offset", "length", "inputs", "noise")
    x = torch.rand(1, 6, 4)
    state = prior.observe(prior.start(1), Examples(x, torch.tensor([[0, 1, 0, 1, 0, 1]])))
    assert (prior.predict(state, x).argmax(-1) == torch.tensor([[0, 1, 0, 1, 0, 1]])).double().mean() > 0.5


def test_the_deviation_column_is_its_own():
    prior, x = DKT(nn.Flatten(), outputs=1), torch.rand(1, 5, 2)
    state = prior.observe(prior.start(1), Examples(x, x[..., :1]))
    assert torch.equal(deviation(prior, state, Examples(x, x[..., :1]), x), prior.deviation(state, x))
    assert prior.deviation(prior.observe(prior.start(1), Examples(x, torch.tensor([[0, 1, 0, 1, 0]]))), x) is None


def test_wrong_arguments():
    with pytest.raises(UnknownNameError, match="unknown objective 'evidense'"):
        DKT(nn.Flatten(), objective="evidense")
    spec = ToyTasks("classification", (4,), outputs=2).spec
    with pytest.raises(MetapriorError, match="inputs: expected 0 or 4, as many as the tasks have, got 3"):
        DKT.for_tasks(spec, inputs=3)
    with pytest.raises(MetapriorError, match="inputs: those of these tasks are for 'gin' alone; expected 0, got 4"):
        DKT.for_tasks(replace(spec, net="gin"), inputs=4)
