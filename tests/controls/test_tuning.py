"""Tuning all tasks side by side is tuning each of them alone."""

import torch
from torch import nn
from torch.nn import functional

from metaprior.controls.tuning import tune
from metaprior.nets import MLP, Conv4
from metaprior.tasks import Examples


def test_equals_torch_adam_on_each_task():
    net = MLP(inputs=2, outputs=3, hidden=(5,)).double()
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(4, 6, 2, generator=generator, dtype=torch.float64), torch.arange(6).remainder(3).expand(4, 6)
    weights = {name: p.expand(4, *p.shape) for name, p in net.named_parameters()}
    tuned, _ = tune(net, weights, Examples(x, y), steps=7, learning_rate=0.05)
    for task in range(4):
        alone = MLP(inputs=2, outputs=3, hidden=(5,)).double()
        adam = torch.optim.Adam(alone.parameters(), lr=0.05)
        for _ in range(7):
            adam.zero_grad()
            functional.cross_entropy(alone(x[task]), y[task]).backward()
            adam.step()
        for name, parameter in alone.named_parameters():
            torch.testing.assert_close(tuned[name][task], parameter.detach())


def test_leaves_weights_and_averages_as_they_were():
    net = nn.Sequential(Conv4(channels=1, size=16, width=4, outputs=2)).eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    weights = {name: p.expand(1, *p.shape) for name, p in net.named_parameters()}
    tune(net, weights, Examples(torch.rand(1, 4, 1, 16, 16), torch.tensor([[0, 1, 0, 1]])), 2, 0.1, running=True)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
