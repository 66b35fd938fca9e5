"""Padding and company change nothing, places are told, second derivatives exist."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metaprior.errors import MetapriorError, ShapeError
from metaprior.gradient import MAML
from metaprior.nets import Transformer, apply, apply_per_task, default_net, net_for
from metaprior.tasks import Examples, TaskSpec


def net(**arguments) -> Transformer:
    return Transformer(**({"inputs": 7, "tokens": 5, "width": 8, "layers": 2, "heads": 2} | arguments))


@given(
    rows=st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=5), min_size=1, max_size=4), extra=st.integers(0, 2)
)
@settings(max_examples=20, deadline=None)
def test_padding_and_company_change_nothing(rows, extra):
    built = net(outputs=3).double()
    longest = max(map(len, rows)) + extra
    x = torch.tensor([row + [0] * (longest - len(row)) for row in rows], dtype=torch.float64)
    together = built(x)
    assert together.shape == (len(rows), 3)
    alone = torch.cat([built(torch.tensor([row], dtype=torch.float64)) for row in rows])
    assert torch.allclose(together, alone)


@pytest.mark.parametrize("tasks", [1, 3])
def test_places_that_none_fills_are_left_out(tasks):
    built, seen = net(outputs=2).double(), []
    built.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[-1]))
    x = torch.randint(1, 6, (tasks, 4, 7), generator=torch.Generator().manual_seed(0)).double()
    x[..., 3:] = 0
    x[-1, -1, 3] = 1
    weights = {name: weight.expand(tasks, *weight.shape) for name, weight in built.named_parameters()}
    whole = built(x.flatten(0, 1)).unflatten(0, (tasks, 4))
    assert torch.allclose(apply(built, x), whole)
    assert torch.allclose(apply_per_task(built, weights, x)[0], whole)
    assert seen == [7, 4, 4]
    assert apply(built, torch.zeros(1, 2, 7).double()).shape == (1, 2, 2)


def test_order_matters_and_empty_rows_are_finite():
    built = net()
    first, turned, empty = built(torch.tensor([[1, 2, 3], [3, 2, 1], [0, 0, 0]]))
    assert not torch.allclose(first, turned, atol=1e-3)
    assert empty.equal(torch.zeros(16))
    with pytest.raises(ShapeError, match="ids: expected at most 7 places, got 8"):
        built(torch.ones(1, 8))


def test_hidden_tokens_differ_by_their_place_alone():
    built, real = net(), torch.ones(1, 4, dtype=torch.bool)
    states = built.states(torch.zeros(1, 4, dtype=torch.int64), real)
    assert len(states) == 3
    assert not torch.allclose(states[-1][0, 0], states[-1][0, 3], atol=1e-3)
    assert built.logits(states[-1]).shape == (1, 4, 5)


def test_gradient_based_priors_take_it():
    prior = MAML(net(outputs=1), inner_steps=1)
    x = torch.randint(1, 6, (2, 4, 7)).float()
    state = prior.observe(prior.start(2), Examples(x, x[..., :1]))
    prior.predict(state, x).sum().backward()
    assert prior.net.embedding.grad is not None


def test_it_is_built_for_tokens_alone():
    spec = TaskSpec("regression", (9,), 2, tokens=("A", "B", "C"))
    assert (default_net(spec, 2).tokens, default_net(spec, None).outputs) == (3, None)
    assert net_for("transformer", spec, headless=False, width=16).outputs == 2
    with pytest.raises(MetapriorError, match="'transformer' takes token ids, and the inputs of these tasks are none"):
        net_for("transformer", TaskSpec("regression", (9,), 2), headless=True)
    with pytest.raises(MetapriorError, match="heads: expected a divisor of half the width 8, got 3"):
        net(heads=3)
