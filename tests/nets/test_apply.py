"""Networks over the examples of many tasks, with shared weights or with each task's own."""

import pytest
import torch
from torch import nn
from torch.func import functional_call

from metaprior.nets import MLP, BatchNorm, Conv4, apply, apply_per_task, has_convolutions, task_statistics


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def own_weights(net, tasks):
    return {
        name: value + 0.1 * draw(tasks, *value.shape, seed=index)
        for index, (name, value) in enumerate(net.named_parameters())
    }


def task_by_task(net, weights, x, given=None, mask=None):
    outputs, statistics = [], []
    for task in range(len(x)):
        mine = None if given is None else tuple((mean[task], variance[task]) for mean, variance in given)
        with task_statistics(mine, None if mask is None else mask[task]) as seen:
            outputs.append(functional_call(net, {name: value[task] for name, value in weights.items()}, (x[task],)))
        statistics.append(seen)
    return torch.stack(outputs), statistics


@pytest.mark.parametrize("tasks", [1, 3])
@pytest.mark.parametrize("masked", [False, True])
def test_each_task_uses_its_own_weights_and_statistics(tasks, masked):
    net = Conv4(channels=1, size=16, outputs=2, width=4)
    weights, x = own_weights(net, tasks), draw(tasks, 5, 1, 16, 16)
    mask = torch.arange(5).expand(tasks, -1) < 4 if masked else None
    with torch.no_grad():
        found, statistics = apply_per_task(net, weights, x, mask=mask)
        expected, expected_statistics = task_by_task(net, weights, x, mask=mask)
        again, used = apply_per_task(net, weights, x, statistics)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    for layer, (mean, variance) in enumerate(statistics):
        torch.testing.assert_close(mean, torch.stack([seen[layer][0] for seen in expected_statistics]))
        torch.testing.assert_close(variance, torch.stack([seen[layer][1] for seen in expected_statistics]))
    torch.testing.assert_close(again, found, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(used, statistics)


def test_given_statistics_make_queries_independent():
    net = nn.Sequential(nn.Linear(3, 4), BatchNorm(4))
    weights, x = own_weights(net, 2), draw(2, 6, 3)
    _, statistics = apply_per_task(net, weights, x)
    together, _ = apply_per_task(net, weights, x, statistics)
    alone, _ = apply_per_task(net, weights, x[:, :1], statistics)
    torch.testing.assert_close(alone, together[:, :1])


@pytest.mark.parametrize("tasks", [1, 3])
def test_running_averages_serve_and_stay_in_training_mode_too(tasks):
    net = nn.Sequential(nn.Linear(3, 4), BatchNorm(4))
    net[1].running_mean += 0.5
    weights = {name: p.expand(tasks, *p.shape) for name, p in net.named_parameters()}
    x = torch.randn(tasks, 6, 3)
    before = net[1].running_mean.clone()
    output, statistics = apply_per_task(net.train(), weights, x, "running")
    assert torch.equal(net[1].running_mean, before)
    assert statistics == ()
    torch.testing.assert_close(output, net.eval()(x.flatten(0, 1)).unflatten(0, (tasks, 6)))


def test_shared_weights_over_all_tasks():
    net, x = MLP(inputs=3, outputs=2), draw(4, 5, 3)
    torch.testing.assert_close(apply(net, x), torch.stack([net(part) for part in x]))


def test_inputs_may_be_trees():
    class Difference(nn.Module):
        def forward(self, x):
            return x["left"] - x["right"]

    x = {"left": draw(4, 5, 2), "right": draw(4, 5, 2, seed=1)}
    torch.testing.assert_close(apply(Difference(), x), x["left"] - x["right"])
    torch.testing.assert_close(apply_per_task(Difference(), {}, x)[0], x["left"] - x["right"])


def test_has_convolutions():
    assert has_convolutions(Conv4(1, 16))
    assert not has_convolutions(MLP(1, 1))
