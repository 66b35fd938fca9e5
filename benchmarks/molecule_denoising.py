"""Denoising of molecules: steps of an equivariant network against one with edge lists and `index_add`, same weights.

python benchmarks/molecule_denoising.py
"""

import argparse

import torch
from measure import clock, machine, report, spread
from torch.nn import functional

from metaprior.allocator import keep_some_memory
from metaprior.molecules.batches import by_size
from metaprior.molecules.conformer_net import ConformerNet
from metaprior.molecules.conformers import Conformers

ELEMENTS = (1, 6, 7, 8, 16)
EDGES, PADDED, OURS = "edge lists, index_add", "metaprior, one padded batch", "metaprior"


def molecules(count, dtype=torch.float32):
    """Atoms at random places, as many to a molecule as QM7 has them; what they are does not change the work."""
    random = torch.Generator().manual_seed(0)
    sizes = (15.4 + 2.8 * torch.randn(count, generator=random)).round().clamp(4, 23).long()
    mask = torch.arange(int(sizes.max())) < sizes[:, None]
    positions = 2 * torch.randn(*mask.shape, 3, generator=random).to(dtype) * mask[..., None]
    elements = torch.tensor(ELEMENTS)[torch.randint(len(ELEMENTS), mask.shape, generator=random)] * mask
    target = torch.randn(*mask.shape, 3 + len(ELEMENTS), generator=random).to(dtype) * mask[..., None]
    return Conformers(positions, elements, mask), torch.rand(count, generator=random).to(dtype), target


def padded_error(net, part, time, target):
    """Return the sum over the atoms of each molecule of the squared error of its noise."""
    found = torch.cat(net.denoise(part.positions, net.types(part.elements), part.mask, time), dim=-1)
    return (found - target).square().sum((1, 2))


def by_edges(net, part, time, target):
    """Return what `padded_error` does, for atoms in one row and the list of all pairs of a molecule."""
    mask = part.mask
    owner = torch.arange(len(mask))[:, None].expand(mask.shape)[mask]
    at = mask.flatten().cumsum(0).sub(1).view(mask.shape)
    pairs = mask[:, :, None] & mask[:, None] & ~torch.eye(mask.shape[1], dtype=torch.bool)
    molecule, first, second = pairs.nonzero().T
    i, j = at[molecule, first], at[molecule, second]
    x = part.positions[mask]
    h = net.graph.embedding(torch.cat([net.types(part.elements)[mask], time[owner][:, None]], dim=-1))
    start, begun = (x[i] - x[j]).square().sum(1, keepdim=True), x

    def pair(function, squared):
        weight = torch.cat([function.receiver.weight, function.sender.weight, function.distance.weight], dim=1)
        both = torch.cat([h[i], h[j], squared, start], dim=1)
        return functional.silu(functional.linear(both, weight, function.receiver.bias))

    for layer in net.graph.layers:
        away = x[i] - x[j]
        squared = away.square().sum(1, keepdim=True)
        message = functional.silu(layer.message(pair(layer.message_pair, squared)))
        message = message * layer.attend(message).sigmoid()
        h = h + layer.update(torch.cat([h, torch.zeros_like(h).index_add(0, i, message)], dim=1))
        hidden = functional.silu(layer.step_hidden(pair(layer.step_pair, squared)))
        step = away / ((squared + 1e-8).sqrt() + 1) * layer.step(hidden).tanh() * layer.reach
        x = x + torch.zeros_like(x).index_add(0, i, step)
    moved = x - begun
    centre = torch.zeros(len(mask), 3).to(x).index_add(0, owner, moved) / mask.sum(1, keepdim=True)
    found = torch.cat([moved - centre[owner], net.noise(h)], dim=1)
    errors = (found - target[mask]).square().sum(1)
    return torch.zeros(len(mask)).to(x).index_add(0, owner, errors)


def ours(net, part, time, target):
    def errors(some, index):
        return padded_error(net, some, time[index], target[index, : some.mask.shape[1]])

    return by_size(errors, part, net.at_once)


ROWS = {EDGES: by_edges, PADDED: padded_error, OURS: ours}


def check():
    """Compare errors and gradients in double precision."""
    net = ConformerNet(elements=ELEMENTS, width=16, layers=3).double()
    batch, found = molecules(9, torch.float64), {}
    used = [*net.graph.parameters(), *net.noise.parameters()]
    for name, errors in ROWS.items():
        value = errors(net, *batch)
        found[name] = [value, *torch.autograd.grad(value.sum(), used)]
    for name in (PADDED, OURS):
        torch.testing.assert_close(found[name], found[EDGES], rtol=1e-8, atol=1e-9)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--molecules", type=int, default=64)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_some_memory()
    check()
    net = ConformerNet(elements=ELEMENTS, width=options.width, layers=options.layers)
    adam = torch.optim.Adam([*net.graph.parameters(), *net.noise.parameters()], fused=True)
    batch = molecules(options.molecules)
    seconds = {name: [] for name in ROWS}
    for _ in range(options.rounds + 1):
        for name, errors in ROWS.items():
            start = clock(options.clock)
            adam.zero_grad()
            errors(net, *batch).mean().backward()
            adam.step()
            seconds[name].append(clock(options.clock) - start)
    seconds = {name: taken[1:] for name, taken in seconds.items()}
    rows = {
        name: {
            "molecules_a_second": spread(options.molecules / value for value in taken),
            "ratio_to_edge_lists": spread(slow / value for slow, value in zip(seconds[EDGES], taken, strict=True)),
        }
        for name, taken in seconds.items()
    }
    cells = [
        [
            name,
            f"{values['molecules_a_second']['median']:.0f}",
            "{median:.2f} ({lower:.2f} to {upper:.2f})".format(**values["ratio_to_edge_lists"]),
        ]
        for name, values in rows.items()
    ]
    result = {
        "what": "both passes and a step of Adam of an equivariant denoiser, all pairs of atoms of a molecule, float32",
        "settings": vars(options),
        "machine": machine(),
        "rows": rows,
    }
    title = f"{options.molecules} molecules, {options.layers} layers of {options.width}; {options.threads} threads"
    report("molecule_denoising", title, ["", "molecules/s", "ratio to edge lists"], cells, result)


if __name__ == "__main__":
    main()
