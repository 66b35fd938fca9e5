"""Group normalisation: torch's own values and gradients, and what torch's own cannot do."""

import pytest
import torch
from torch.nn import functional

from metaprior.nets.group_norm import GroupNorm
from metaprior.nets.layout import channels_last


def inputs(shape=(3, 8, 4, 5), last=True):
    random = torch.Generator().manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64, generator=random)
    norm = GroupNorm(2, shape[1]).double()
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=random))
    return norm, (channels_last(x) if last and len(shape) == 4 else x).requires_grad_()


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("shape", [(3, 8, 4, 5), (3, 8), (3, 4, 1, 1)])
def test_values_and_gradients_are_those_of_torch(shape, last):
    norm, x = inputs(shape, last)
    plain = x.detach().contiguous().requires_grad_()
    outputs = norm(x), functional.group_norm(plain, 2, norm.weight, norm.bias)
    torch.testing.assert_close(*outputs)
    gradients = [
        torch.autograd.grad(output.square().sum(), [seen, *norm.parameters()])
        for output, seen in zip(outputs, (x, plain), strict=True)
    ]
    torch.testing.assert_close(*gradients)


def test_it_can_be_differentiated_twice():
    norm, x = inputs()
    assert torch.autograd.gradcheck(norm, x)
    assert torch.autograd.gradgradcheck(
        lambda *parts: torch.func.functional_call(
            norm, dict(zip(("weight", "bias"), parts[1:], strict=True)), parts[:1]
        ),
        (x, norm.weight, norm.bias),
    )


def test_only_the_weights_may_need_a_gradient():
    """In channels-last layout torch 2.13's own one crashes here."""
    norm, x = inputs()
    fixed = torch.autograd.grad(norm(x.detach()).square().sum(), list(norm.parameters()))
    torch.testing.assert_close(fixed, torch.autograd.grad(norm(x).square().sum(), list(norm.parameters())))


def test_tasks_can_be_mapped_over():
    norm, x = inputs()
    weights = torch.stack([norm.weight.detach(), -norm.weight.detach()])
    mapped = torch.vmap(lambda weight: torch.func.functional_call(norm, {"weight": weight}, (x,)))(weights)
    torch.testing.assert_close(mapped[0], norm(x))
    torch.testing.assert_close(mapped[0] + mapped[1], 2 * norm.bias.view(-1, 1, 1).expand_as(mapped[0]))
