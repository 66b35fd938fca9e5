"""The multi-task backbone, with a probe of its own for each new task."""

import pytest
import torch
from torch import nn

from metaprior import acquire
from metaprior.errors import MetapriorError, UnknownNameError
from metaprior.molecules import MultitaskProbe
from metaprior.nets import MLP
from metaprior.tasks import Episode, Examples
from metaprior.testing import ToyTasks


def task(classes: int = 2, n: int = 40, f: int = 5):
    draw = torch.Generator().manual_seed(0)
    x, asked = (torch.randn(size, f, generator=draw).double() for size in (n, 7))
    return x, (x @ torch.randn(f, classes, generator=draw).double()).argmax(1), asked


def test_features_and_input_may_count_less_and_sizes_never():
    scales = MultitaskProbe(MLP(5, hidden=(16,)), inputs=1.0)._scales(torch.zeros(1, 3, 16 + 5 + 2))
    assert scales.tolist() == [[1.0] * 23, [0.25] * 16 + [1.0] * 7, [1.0] * 16 + [0.25] * 5 + [1.0] * 2]
    assert MultitaskProbe(MLP(5, hidden=(16,)))._scales(torch.zeros(1, 3, 16)) is None


@pytest.mark.parametrize("probe", ["logistic", "quadratic"])
def test_classes_that_come_later_and_more_of_them(probe):
    x, y, asked = task(classes=4)
    prior = MultitaskProbe(MLP(5, hidden=(16,)), probe=probe).double().eval()
    state = prior.observe(prior.start(1), Examples(x[None], y[None]))
    assert prior.predict(state, asked[None]).shape == (1, 7, 4)
    assert (prior.predict(state, x[None]).argmax(-1) == y).double().mean() > 0.5


def test_a_head_for_each_task_lets_one_label_mean_different_things():
    class Flipped(ToyTasks):
        """The same two centres in every task, their names swapped in half of the tasks."""

        def sample(self, tasks, generator, split="train"):
            y = torch.arange(2).repeat(tasks, 10)
            flip = torch.randint(2, (tasks, 1), generator=generator)
            x = torch.randn(tasks, 20, 4, generator=generator) + 3 * (y != flip)[..., None]
            labels = torch.cat([2 * flip, 2 * flip + 1], dim=1)
            one, two = Examples(x[:, :10], y[:, :10]), Examples(x[:, 10:], y[:, 10:])
            return Episode(one, two, torch.full((tasks,), 2), labels)

    source = Flipped("classification", (4,), outputs=2, pool=4)
    prior = MultitaskProbe.for_tasks(source.spec, MLP(4, hidden=(8,)))
    log = acquire(prior, source, steps=60, learning_rate=0.02, validations=1, validation_tasks=20).log
    assert log[-1].loss < 0.35, "a shared head could not tell the two meanings apart"


def test_the_size_of_an_input_is_known_beside_its_direction():
    class Direction(nn.Module):
        features = 8

        def forward(self, x):
            return nn.functional.normalize(x, dim=-1)

    numbers = torch.Generator().manual_seed(0)
    sizes = 1 + 9 * torch.rand(1, 60, 1, generator=numbers)
    x = sizes * Direction()(torch.rand(1, 60, 8, generator=numbers))
    y = sizes.log()
    errors = []
    for inputs in (0.0, 1.0):
        prior = MultitaskProbe(Direction(), outputs=1, inputs=inputs)
        guess = prior.predict(prior.observe(prior.start(1), Examples(x[:, :40], y[:, :40])), x[:, 40:])
        errors.append(float((guess - y[:, 40:]).square().mean() / y.var()))
    assert errors[0] > 0.7 > 0.05 > errors[1]


def test_deviation_is_for_regression_alone():
    x, y, asked = task()
    prior = MultitaskProbe(MLP(5, hidden=(16,)), outputs=1).double().eval()
    state = prior.observe(prior.start(1), Examples(x[None], x[None, :, :1]))
    assert (prior.deviation(state, asked[None]) > 0).all()
    prior.inputs = 1.0
    assert (prior.deviation(prior.observe(prior.start(1), Examples(x[None], x[None, :, :1])), asked[None]) > 0).all()
    prior.inputs = 0.0
    assert prior.deviation(prior.observe(prior.start(1), Examples(x[None], y[None])), asked[None]) is None


def test_wrong_arguments():
    with pytest.raises(UnknownNameError, match="unknown probe 'linear'"):
        MultitaskProbe(MLP(3), probe="linear")
    with pytest.raises(MetapriorError, match="net: expected a network with an attribute `features`"):
        MultitaskProbe(nn.Flatten())


def test_sharpness_multiplies_logits():
    x, y, asked = (part[None].float() if part.is_floating_point() else part[None] for part in task())
    plain, sharp = (
        prior.predict(prior.observe(prior.start(1), Examples(x, y)), asked)
        for prior in (MultitaskProbe(MLP(5, seed=0), sharpness=factor) for factor in (None, 3.0))
    )
    torch.testing.assert_close(sharp, 3 * plain)


def test_fingerprints_get_a_wide_network():
    source = ToyTasks("classification", (2048,), outputs=2)
    assert MultitaskProbe.for_tasks(source.spec).net.hidden == (1024, 512)
    assert MultitaskProbe.for_tasks(ToyTasks().spec).net.hidden == (128, 128)
