"""Adaptive deep kernel fitting: its fit, and the gradient through it."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from metaprior import ADKF, DKT, acquire, evaluate
from metaprior.gaussian.adkf import derivatives, implicit, maximise
from metaprior.nets import MLP
from metaprior.tasks import Episode, Examples, Sinusoid
from metaprior.testing import ToyTasks

gp = pytest.importorskip("sklearn.gaussian_process")
kernels = pytest.importorskip("sklearn.gaussian_process.kernels")


def waves(n: int = 12, tasks: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.rand(tasks, n, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 6
    noise = torch.randn(tasks, n, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return x, x.sin() * 2 + noise / 5


def test_free_to_do_so_it_finds_the_evidence_that_scikit_learn_finds():
    x, y = waves()
    prior = ADKF(nn.Flatten(), outputs=1, kernel="rbf", freedom=100.0, iterations=60).double()
    state = prior.observe(prior.start(2), Examples(x, y))
    found = prior.evidence(state.examples, prior._kernel.compare(x, x), state.hyper).tolist()
    for task in range(2):
        kernel = kernels.ConstantKernel(1.0, (1e-6, 1e6)) * kernels.RBF(1.0, (1e-3, 1e3))
        kernel = kernel + kernels.ConstantKernel(0.1, (1e-20, 1e6)) + kernels.WhiteKernel(0.1, (1e-4, 1e3))
        oracle = gp.GaussianProcessRegressor(kernel, alpha=0, n_restarts_optimizer=3, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of variances at the end of their range
            oracle.fit(x[task], y[task])
        assert found[task] == pytest.approx(oracle.log_marginal_likelihood_value_, abs=2e-2)


def test_hardly_free_it_is_deep_kernel_transfer():
    x, y = waves()
    adaptive = ADKF(nn.Flatten(), outputs=1, kernel="rbf", freedom=1e-4).double()
    fixed = DKT(nn.Flatten(), outputs=1, kernel="rbf").double()
    one, other = (prior.observe(prior.start(2), Examples(x, y)) for prior in (adaptive, fixed))
    torch.testing.assert_close(adaptive.predict(one, x + 1), fixed.predict(other, x + 1), rtol=1e-5, atol=1e-5)


def test_gradient_through_the_fit_is_that_of_finite_differences():
    """Of the queries' loss, in the weights of the network: what the fit's reaction adds included."""
    x, y = waves()
    episode = Episode(Examples(x[:, :6], y[:, :6]), Examples(x[:, 6:], y[:, 6:]))
    prior = ADKF(MLP(1, hidden=(3,)), outputs=1, freedom=0.7).double()
    parameters = [prior.net.layers[0].weight, prior.log_hyper]
    exact = torch.autograd.grad(prior.loss(episode), parameters)
    state = prior.observe(prior.start(2), episode.support)
    reaction = torch.autograd.grad(state.hyper.sum(), parameters)
    assert all(part.abs().max() > 1e-3 for part in reaction), "the fit must answer to both, or this shows nothing"
    for parameter, gradient in zip(parameters, exact, strict=True):
        for index in np.ndindex(parameter.shape):
            ends = []
            for sign in (1, -1):
                with torch.no_grad():
                    parameter[index] += sign * 1e-5
                    ends.append(float(prior.loss(episode)))
                    parameter[index] -= sign * 1e-5
            assert float(gradient[index]) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-3, abs=1e-6)


def test_implicit_gradient_of_a_maximum_known_in_closed_form():
    matrix = torch.tensor([[2.0, 0.3], [0.3, 1.0]], dtype=torch.float64)
    push = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)

    def objective(at):
        return at @ push - 0.5 * torch.einsum("th,hk,tk->t", at, matrix, at)

    best = maximise(objective, torch.zeros(3, 2).double(), 20)
    torch.testing.assert_close(best, torch.linalg.solve(matrix, push.detach()).expand(3, 2))
    (gradient,) = torch.autograd.grad(implicit(objective, best)[0, 0], push)
    torch.testing.assert_close(gradient, torch.linalg.inv(matrix)[0])


def test_a_saddle_is_left_behind():
    best = maximise(lambda a: -(a.square() - 1).square().sum(1), torch.tensor([[0.1, -0.1]]).double(), 50)
    torch.testing.assert_close(best, torch.tensor([[1.0, -1.0]]).double())


def test_a_fit_does_not_depend_on_the_other_tasks():
    def objective(at):
        return -((at - torch.tensor([[1.0], [5.0]], dtype=at.dtype)[: len(at)]) ** 4).sum(1)

    both = maximise(objective, torch.zeros(2, 1).double(), 60)
    alone = maximise(objective, torch.zeros(1, 1).double(), 60)
    torch.testing.assert_close(both[:1], alone, atol=1e-2, rtol=0)


def test_derivatives_of_a_cubic():
    value, gradient, hessian = derivatives(lambda a: (a**3).sum(1), torch.tensor([[2.0, 3.0]]))
    assert value.tolist() == [35.0]
    assert gradient.tolist() == [[12.0, 27.0]]
    assert hessian.tolist() == [[[12.0, 0.0], [0.0, 18.0]]]


def test_fits_more_noise_where_labels_are_noise():
    x, y = waves(tasks=1)
    prior = ADKF(nn.Flatten(), outputs=1).double()
    noisy = torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(2)) * 2
    clean, other = (prior.observe(prior.start(1), Examples(x, part)).hyper[0, -1] for part in (y, noisy))
    assert other > clean + 0.5


def test_acquired_on_waves_it_is_better():
    prior, source = ADKF.for_tasks(Sinusoid.spec, MLP(1, hidden=(20, 20)), iterations=5), Sinusoid()
    before = evaluate(prior, source, episodes=20).mean
    acquire(prior, source, steps=40, learning_rate=0.02, tasks_per_step=8, validations=0)
    assert evaluate(prior, source, episodes=20).mean < before / 1.2


def test_serves_predictions_without_gradients():
    source = ToyTasks("classification", (4,), outputs=3)
    prior, episode = ADKF.for_tasks(source.spec), source.sample(2, torch.Generator().manual_seed(0))
    with torch.no_grad():
        state = prior.observe(prior.start(2), episode.support)
        assert not state.hyper.requires_grad
        assert prior.predict(state, episode.query.x).shape == (2, 6, 3)
