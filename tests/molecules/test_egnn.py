"""Equivariance to what must not matter, and equality with the equations written out pair by pair."""

import pytest
import torch
from torch.nn import functional

from metaprior.molecules.egnn import EGNN


def molecules(sizes=(5, 3), dtype=torch.float64, inputs=4):
    generator = torch.Generator().manual_seed(0)
    positions = torch.randn(len(sizes), max(sizes), 3, generator=generator, dtype=dtype) * 2
    features = torch.randn(len(sizes), max(sizes), inputs, generator=generator, dtype=dtype)
    mask = torch.arange(max(sizes)) < torch.tensor(sizes)[:, None]
    return positions * mask[..., None], features * mask[..., None], mask


def network(**arguments):
    net = EGNN(inputs=4, width=8, layers=3, **arguments).double()
    with torch.no_grad():
        for layer in net.layers:
            layer.step.weight.mul_(1e3)  # so that positions move enough to tell
    return net


def orthogonal(determinant):
    matrix, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    matrix[:, 0] *= determinant * torch.linalg.det(matrix).sign()
    return matrix


@pytest.mark.parametrize("determinant", [1, -1], ids=["rotation", "reflection"])
def test_rotated_reflected_and_moved(determinant):
    positions, features, mask = molecules()
    net, turn, shift = network(), orthogonal(determinant), torch.tensor([1.0, -2.0, 3.0]).double()
    before, after = net(positions, features, mask), net(positions @ turn + shift, features, mask)
    assert torch.allclose(after.positions, before.positions @ turn + shift, atol=1e-10)
    assert not torch.allclose(before.positions, positions, atol=1e-2), "atoms do move"
    for left, right in zip(before.states, after.states, strict=True):
        assert torch.allclose(left, right, atol=1e-10)


def test_the_order_of_atoms_does_not_matter():
    positions, features, mask = molecules((5, 5))
    order = torch.tensor([3, 0, 4, 1, 2])
    net = network()
    before, after = net(positions, features, mask), net(positions[:, order], features[:, order], mask)
    assert torch.allclose(after.positions, before.positions[:, order], atol=1e-10)
    assert torch.allclose(after.states[-1], before.states[-1][:, order], atol=1e-10)


def test_padding_changes_nothing_whatever_it_holds():
    positions, features, mask = molecules()
    net = network()
    alone = net(positions[1:, :3], features[1:, :3], mask[1:, :3])
    padded = net(positions.masked_fill(~mask[..., None], 7), features.masked_fill(~mask[..., None], -5), mask)
    assert torch.allclose(padded.positions[1:, :3], alone.positions, atol=1e-12)
    assert torch.allclose(padded.states[-1][1:, :3], alone.states[-1], atol=1e-12)
    assert not padded.states[-1][1, 3:].any()


@pytest.mark.parametrize("attention", [True, False])
def test_it_is_the_equations_written_out(attention):
    """Satorras et al., eq. 3 to 6, atom by atom, with the concatenation that ours does without."""
    positions, features, mask = molecules((4,))
    net = network(attention=attention)
    got = net(positions, features, mask)
    x, h = positions[0], net.embedding(features[0])
    start = x.clone()

    def phi(pair, i, j, now):
        weight = torch.cat([pair.receiver.weight, pair.sender.weight, pair.distance.weight], dim=1)
        both = torch.cat(
            [h[i], h[j], (now[i] - now[j]).square().sum()[None], (start[i] - start[j]).square().sum()[None]]
        )
        return functional.silu(functional.linear(both, weight, pair.receiver.bias))

    for layer in net.layers:
        received = torch.zeros_like(h)
        for i in range(4):
            for j in set(range(4)) - {i}:
                message = functional.silu(layer.message(phi(layer.message_pair, i, j, x)))
                received[i] += message * (layer.attend(message).sigmoid() if attention else 1)
        h = h + layer.update(torch.cat([h, received], dim=-1))
        moved = x.clone()
        for i in range(4):
            for j in set(range(4)) - {i}:
                hidden = functional.silu(layer.step_hidden(phi(layer.step_pair, i, j, x)))
                away = x[i] - x[j]
                moved[i] += away / (away.norm() + 1) * (15 / 3) * layer.step(hidden).tanh()
        x = moved
    assert torch.allclose(got.positions[0], x, atol=1e-7)
    assert torch.allclose(got.states[-1][0], h, atol=1e-7)


def test_atoms_in_one_place_have_finite_gradients():
    positions = torch.zeros(1, 3, 3, dtype=torch.float64, requires_grad=True)
    trace = network()(positions, torch.ones(1, 3, 4).double(), torch.ones(1, 3, dtype=torch.bool))
    (trace.positions.sum() + trace.states[-1].sum()).backward()
    assert positions.grad.isfinite().all()


def test_deep_networks_do_not_blow_up():
    positions, features, mask = molecules((20, 20), torch.float32)
    trace = EGNN(inputs=4, width=32, layers=9)(positions, features, mask)
    assert trace.states[-1].abs().max() < 1e3
    assert (trace.positions - positions).abs().max() < 1
