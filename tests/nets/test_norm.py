"""Batch normalisation: one task's statistics, masks, running averages, and the traps of the built-in one."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from metaprior import MAML
from metaprior.errors import MetapriorError
from metaprior.nets import (
    BatchNorm,
    Conv4,
    apply_per_task,
    builtin_norms,
    channels_last,
    replace_builtin_norms,
    task_statistics,
)
from metaprior.tasks import Episode, Examples


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def randomised(norm, seed=0):
    """Give a norm weights of both signs."""
    with torch.no_grad():
        norm.weight.copy_(draw(norm.features, seed=seed))
        norm.bias.copy_(draw(norm.features, seed=seed + 1))
    return norm


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 5, 3)])
def test_agrees_with_torch(shape):
    x = 2 + draw(*shape)
    ours = randomised(BatchNorm(4).double())
    kind = nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d
    theirs = kind(4).double()
    with torch.no_grad():
        theirs.weight.copy_(ours.weight)
        theirs.bias.copy_(ours.bias)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    ours.eval()
    again = functional.batch_norm(x, ours.running_mean, ours.running_var, ours.weight, ours.bias)
    torch.testing.assert_close(ours(x), again)


def test_evaluation_mode_leaves_running_averages_alone():
    norm = BatchNorm(3).eval()
    norm(draw(4, 3, dtype=torch.float32))
    with task_statistics():
        norm.train()(draw(4, 3, dtype=torch.float32))
    assert torch.equal(norm.running_mean, torch.zeros(3))
    assert torch.equal(norm.running_var, torch.ones(3))


def in_sequence(norm, convolution, x):
    return functional.max_pool2d(norm(convolution(x)), 2).relu()


@pytest.mark.parametrize("channels", [1, 3, 8])
@pytest.mark.parametrize("how", ["task", "given", "masked", "training", "evaluation"])
def test_after_is_the_sequence(channels, how):
    convolution = nn.Conv2d(channels, 6, 3, padding=1, bias=False).double()
    norm, x = randomised(BatchNorm(6).double()), draw(5, channels, 9, 8)
    x.requires_grad_()
    parameters = [x, convolution.weight, norm.weight, norm.bias]
    norm.train(how != "evaluation")
    norm.running_mean += 0.3

    def run(function):
        if how in ("training", "evaluation"):
            return function(), []
        given = ((draw(6, seed=3), draw(6, seed=4).square()),) if how == "given" else None
        with task_statistics(given, torch.arange(5) < 3 if how == "masked" else None) as seen:
            return function(), seen

    expected, expected_seen = run(lambda: in_sequence(norm, convolution, x))
    running = norm.running_mean.clone()
    norm.running_mean.zero_().add_(0.3)
    found, seen = run(lambda: norm.after(convolution, x))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(seen, expected_seen)
    torch.testing.assert_close(norm.running_mean, running)
    gradients = [torch.autograd.grad(output.square().sum(), parameters) for output in (found, expected)]
    torch.testing.assert_close(*gradients)


def test_recorded_statistics_are_differentiable():
    convolution, norm = nn.Conv2d(1, 4, 3, bias=False).double(), randomised(BatchNorm(4).double())
    x = draw(5, 1, 8, 8)
    gradients = []
    for function in (lambda: norm.after(convolution, x), lambda: norm(convolution(x))):
        with task_statistics() as seen:
            function()
        mean, variance = seen[0]
        gradients.append(torch.autograd.grad((mean * variance).sum(), convolution.weight)[0])
    torch.testing.assert_close(*gradients)


def test_given_statistics_are_used_in_order():
    first, second = BatchNorm(1), BatchNorm(1)
    given = ((torch.tensor([1.0]), torch.tensor([1.0])), (torch.tensor([2.0]), torch.tensor([4.0])))
    x = torch.tensor([[5.0]])
    with task_statistics(given) as seen:
        torch.testing.assert_close(first(x), torch.tensor([[4.0]]), rtol=1e-4, atol=0)
        torch.testing.assert_close(second(x), torch.tensor([[1.5]]), rtol=1e-4, atol=0)
    assert seen == list(given)


def test_padding_has_no_part_in_the_statistics():
    norm, x = BatchNorm(3), draw(6, 3, dtype=torch.float32)
    mask = torch.tensor([True, True, False, True, False, True])
    with task_statistics(mask=mask) as seen:
        output = norm(x)
    with task_statistics() as expected:
        alone = norm(x[mask])
    torch.testing.assert_close(seen, expected)
    torch.testing.assert_close(output[mask], alone)


def test_replace_builtin_norms():
    net = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.BatchNorm1d(4, eps=1e-3)), nn.BatchNorm1d(4, momentum=0.2))
    net(draw(8, 3, dtype=torch.float32))
    net.eval()
    assert builtin_norms(net) == ["1.0", "2"]
    x = draw(5, 3, seed=1, dtype=torch.float32)
    expected = net(x)
    assert builtin_norms(replace_builtin_norms(net)) == []
    assert (net[1][0].eps, net[2].momentum, net[2].training) == (1e-3, 0.2, False)
    torch.testing.assert_close(net(x), expected)


# Trap 1: second derivatives of torch's own norms under vmap


class Small(nn.Module):
    """A convolution, a norm and a head."""

    def __init__(self, norm):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, bias=False)
        self.norm = norm
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        return self.head(self.norm(self.conv(x)).square().mean((2, 3)))


def outer_losses(net, weights, support, query, labels, mapped):
    """Return the loss on the queries of each task after a step that adapts all weights, the norm's too."""

    def task(support, query, labels):
        def loss(weights, x):
            with task_statistics():
                return functional.cross_entropy(functional_call(net, weights, (x,)), labels)

        gradients = grad(loss)(weights, support)
        return loss({name: weights[name] - 0.5 * gradients[name] for name in weights}, query)

    if mapped:
        return vmap(task)(support, query, labels)
    return torch.stack([task(*parts) for parts in zip(support, query, labels, strict=True)])


def meta_gradients(norm):
    """Return the gradient over tasks in a loop, under vmap, and a directional derivative of each kind."""
    net = Small(norm).double()
    weights = {name: draw(*value.shape, seed=7).requires_grad_() for name, value in net.named_parameters()}
    tasks = (draw(2, 4, 1, 6, 6), draw(2, 4, 1, 6, 6, seed=1), torch.tensor([[0, 1, 0, 1], [1, 0, 0, 1]]))
    found = [
        torch.autograd.grad(outer_losses(net, weights, *tasks, mapped).mean(), list(weights.values()))
        for mapped in (False, True)
    ]
    way = [draw(*value.shape, seed=8) for value in weights.values()]
    losses = [
        outer_losses(
            net, {k: v.detach() + side * w for (k, v), w in zip(weights.items(), way, strict=True)}, *tasks, False
        ).mean()
        for side in (1e-6, -1e-6)
    ]
    slopes = [sum((g * w).sum() for g, w in zip(gradients, way, strict=True)) for gradients in found]
    return *slopes, (losses[0] - losses[1]) / 2e-6


def test_second_derivatives_agree_between_loop_vmap_and_finite_differences():
    loop, mapped, finite = meta_gradients(BatchNorm(3))
    torch.testing.assert_close(loop, finite, rtol=1e-6, atol=0)
    torch.testing.assert_close(mapped, loop, rtol=1e-10, atol=0)


def test_why_torchs_own_norms_are_refused():
    loop, mapped, finite = meta_gradients(nn.BatchNorm2d(3, track_running_stats=False))
    torch.testing.assert_close(loop, finite, rtol=1e-6, atol=0)
    if torch.allclose(mapped, loop, rtol=1e-6):
        pytest.skip(f"torch {torch.__version__} has mended the second derivative of batch norm under vmap")
    assert abs(mapped - loop) > 1e-3 * abs(loop)


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(3), nn.InstanceNorm2d(3, affine=True)], ids=str)
def test_maml_refuses_torchs_own_norms(norm):
    with pytest.raises(MetapriorError, match=r"net: 'norm' is one of torch's own.*replace_builtin_norms"):
        MAML(Small(norm))
    if isinstance(norm, nn.BatchNorm2d):
        MAML(replace_builtin_norms(Small(norm)))


def test_meta_gradient_of_conv4_does_not_depend_on_the_chunk():
    net = Conv4(channels=1, size=16, outputs=2, width=4).double()
    for module in net.modules():
        if isinstance(module, BatchNorm):
            randomised(module)
    labels = torch.tensor([[0, 1, 0, 1]]).expand(3, -1)
    episode = Episode(Examples(draw(3, 4, 1, 16, 16), labels), Examples(draw(3, 4, 1, 16, 16, seed=1), labels))
    gradients = []
    for chunk in (1, 3):
        prior = MAML(net, step_size=0.3, chunk=chunk)
        gradients.append(torch.autograd.grad(prior.loss(episode), list(net.parameters())))
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-12)


# Trap 2: torch's own batch norm is inaccurate in channels-last layout on a CPU


def test_accuracy_in_single_precision():
    x = channels_last(3 + draw(75, 16, 28, 28))
    reference = functional.batch_norm(x, None, None, training=True)

    def error(output):
        return (output.double() - reference).abs().max().item()

    single = channels_last(x.float())
    with task_statistics():
        ours = error(BatchNorm(16)(single))
    builtin = error(functional.batch_norm(single, None, None, training=True))
    assert ours < 3e-6
    if builtin < 2 * ours:
        pytest.skip(f"torch {torch.__version__} is accurate in channels-last layout here")


@pytest.mark.parametrize("channels", [1, 16])
def test_accuracy_of_the_fused_block_in_single_precision(channels):
    convolution, norm = nn.Conv2d(channels, 16, 3, padding=1, bias=False), BatchNorm(16)
    x = channels_last(draw(75, channels, 28, 28).sigmoid())
    results = []
    for dtype in (torch.float32, torch.float64):
        convolution.to(dtype).weight.data = convolution.weight.data.float().to(dtype)
        with task_statistics() as seen:
            output = norm.to(dtype).after(convolution, channels_last(x.float().to(dtype)))
        mean, variance = seen[0]
        weights = draw(*output.shape, seed=1).to(dtype)
        gradient = torch.autograd.grad((output * weights).sum(), convolution.weight)[0]
        results.append([value.detach().double() for value in (output, mean, variance, gradient)])
    for single, double, bound in zip(*results, (1e-5, 1e-5, 1e-5, 1e-4), strict=True):
        assert (single - double).abs().max() < bound * double.abs().max()


def test_group_norm_takes_channels_last_maps_of_many_tasks():
    net = Conv4(1, 16, 3, width=4, norm="group")
    weights = {name: p.expand(2, *p.shape) for name, p in net.named_parameters()}
    x = torch.rand(2, 4, 1, 16, 16)
    together = apply_per_task(net, weights, x)[0]
    torch.testing.assert_close(together, torch.stack([net(channels_last(images)) for images in x]))
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(together.sum(), list(net.parameters())))
