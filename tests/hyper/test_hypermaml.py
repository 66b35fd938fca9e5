"""Generated changes of a head: classes are treated alike, one without examples stays, and the changes help."""

import pytest
import torch

from metaprior import acquire, evaluate
from metaprior.errors import MetapriorError, ShapeError
from metaprior.hyper import HyperMAML
from metaprior.nets import MLP
from metaprior.tasks import Examples, Sinusoid

X = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([[0, 1, 2, 0, 1, 2], [2, 2, 1, 1, 0, 0]])


def changes(prior, y):
    weight, bias = prior.changed_head(prior.observe(prior.start(2), Examples(X, y)))
    return weight - prior.head.weight, bias - prior.head.bias


def test_the_order_of_the_classes_does_not_matter():
    prior = HyperMAML(MLP(4), outputs=3)
    order = torch.tensor([2, 0, 1])
    with torch.no_grad():  # the classes of the shared head differ at first, as those of a task do not
        prior.head.weight.copy_(prior.head.weight[:1].expand(3, -1))
    for change, moved in zip(changes(prior, Y), changes(prior, order[Y]), strict=True):
        torch.testing.assert_close(moved[:, order], change)


def test_a_class_without_examples_keeps_its_row():
    weight, bias = changes(HyperMAML(MLP(4), outputs=3), Y.clamp(max=1))
    assert weight[:, 2].abs().max() == 0 == bias[:, 2].abs().max()
    assert weight[:, :2].abs().min() > 0


def test_before_any_example_the_shared_head_predicts():
    prior = HyperMAML(MLP(4), outputs=3)
    torch.testing.assert_close(prior.predict(prior.start(2), X), prior.head(prior.net(X.flatten(0, 1))).view(2, 6, 3))


def test_each_row_of_a_regression_is_changed():
    prior = HyperMAML(MLP(4), outputs=2, regression=True)
    weight, bias = changes(prior, torch.rand(2, 6, 2))
    assert weight.shape == (2, 2, 40)
    assert bias.shape == (2, 2)
    assert weight.abs().min() > 0


def test_waves_are_regressed():
    prior = HyperMAML.for_tasks(Sinusoid.spec)
    before = evaluate(prior, Sinusoid(), episodes=100).mean
    acquire(prior, Sinusoid(queries=20), steps=400, tasks_per_step=25, learning_rate=3e-3, validations=0)
    assert evaluate(prior, Sinusoid(), episodes=100).mean < 0.6 * before


def test_what_does_not_fit_is_refused():
    with pytest.raises(MetapriorError, match="net: expected a network with an attribute `features`"):
        HyperMAML(torch.nn.Flatten())
    prior = HyperMAML(MLP(4), outputs=2)
    with pytest.raises(ShapeError, match="y: expected class ids below 2, got 2"):
        prior.observe(prior.start(2), Examples(X, Y))
    with pytest.raises(ShapeError, match="expected class ids"):
        prior.observe(prior.start(2), Examples(X, torch.rand(2, 6, 2)))
