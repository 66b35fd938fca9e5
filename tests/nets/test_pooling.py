"""Mean and deviation against torch's own, and a slope where members do not differ."""

import torch

from metaprior.nets.pooling import mean_and_deviation


def test_it_is_what_torch_says_of_the_members_alone():
    state = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[True] * 3 + [False] * 2, [True] * 5])
    found = mean_and_deviation(state, mask)
    for row, size in ((0, 3), (1, 5)):
        deviation, mean = torch.std_mean(state[row, :size], dim=0, correction=0)
        assert torch.allclose(found[row], torch.cat([mean, deviation]), atol=1e-5)


def test_equal_members_and_none_have_finite_slopes():
    state = torch.ones(2, 4, 3, requires_grad=True)
    mean_and_deviation(state, torch.tensor([[True] * 4, [False] * 4])).sum().backward()
    assert state.grad is not None
    assert state.grad.isfinite().all()
