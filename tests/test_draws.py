"""Drawing tasks: many steps at once where they are small, and going on from any place."""

import pytest
import torch

from metaprior.draws import Draws
from metaprior.tasks import Sinusoid
from metaprior.testing import ToyTasks
from metaprior.tree import tensors


class Counted(Sinusoid):
    calls = 0

    def sample(self, tasks, generator, split="train"):
        self.calls += 1
        return super().sample(tasks, generator, split)


def drawn(draws: Draws, steps: int) -> list[list[torch.Tensor]]:
    return [[leaf.clone() for leaf in tensors(draws.next())] for _ in range(steps)]


def draws(source, tasks: int = 3) -> Draws:
    return Draws(source, tasks, torch.Generator().manual_seed(0))


def test_small_tasks_are_drawn_for_many_steps_at_once_and_never_twice():
    source = Counted()
    steps = drawn(draws(source), 100)
    assert source.calls <= 4
    amplitudes = torch.cat([step[1].amax(1).flatten() for step in steps])
    assert len(amplitudes.unique()) == 300


def test_large_tasks_are_drawn_step_by_step():
    source = Counted(queries=200_000)
    drawn(draws(source), 5)
    assert source.calls == 5


@pytest.mark.parametrize("source", [Sinusoid(), ToyTasks("classification")])
@pytest.mark.parametrize("place", [0, 1, 2, 30, 65, 66])
def test_goes_on_from_any_place(source, place):
    first = draws(source)
    drawn(first, place)
    state = first.state()
    expected = drawn(first, 70)
    again = Draws(source, 3, torch.Generator().manual_seed(1))
    again.restore(*state)
    for left, right in zip(drawn(again, 70), expected, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(left, right, strict=True))
