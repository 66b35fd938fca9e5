"""Second-order MAML of a 1-40-40-1 network on sinusoids, 32 tasks a step: metaprior against a plain loop and higher.

python benchmarks/sinusoid_maml.py
"""

import argparse
import statistics
import sys
import tempfile

import torch
from measure import HIGHER, clock, install, machine, matmul_peak, report, spread
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from metaprior import MAML
from metaprior.nets import MLP
from metaprior.tasks import Sinusoid

TASKS, STEP = 32, 0.01


def loop_step(parameters, episode):
    """Take the outer gradient task by task, with `autograd.grad` alone."""

    def forward(weights, x):
        for layer in (0, 2):
            x = functional.linear(x, weights[layer], weights[layer + 1]).relu()
        return functional.linear(x, *weights[4:])

    total = 0.0
    for support_x, support_y, query_x, query_y in zip(
        episode.support.x, episode.support.y, episode.query.x, episode.query.y, strict=True
    ):
        inner = functional.mse_loss(forward(parameters, support_x), support_y)
        gradients = torch.autograd.grad(inner, parameters, create_graph=True)
        adapted = [weight - STEP * gradient for weight, gradient in zip(parameters, gradients, strict=True)]
        loss = functional.mse_loss(forward(adapted, query_x), query_y) / TASKS
        loss.backward()
        total += loss.item()
    return total


def higher_step(net, episode):
    """Take the outer gradient task by task, with `higher`."""
    import higher

    optimiser, total = torch.optim.SGD(net.parameters(), lr=STEP), 0.0
    for support_x, support_y, query_x, query_y in zip(
        episode.support.x, episode.support.y, episode.query.x, episode.query.y, strict=True
    ):
        with higher.innerloop_ctx(net, optimiser, copy_initial_weights=False) as (fast, inner):
            inner.step(functional.mse_loss(fast(support_x), support_y))
            loss = functional.mse_loss(fast(query_x), query_y) / TASKS
        loss.backward()
        total += loss.item()
    return total


def our_step(prior, episode):
    loss = prior.loss(episode)
    loss.backward()
    return loss.item()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = tempfile.mkdtemp()
    failed = install(folder, {"higher": [HIGHER]})
    sys.path.insert(0, folder)
    episode = Sinusoid(shots=10, queries=10).sample(TASKS, torch.Generator().manual_seed(0))
    prior = MAML(MLP(1, 1), inner_steps=1, step_size=STEP)
    parameters = list(prior.parameters())
    rows = {
        "plain loop over tasks": (loop_step, parameters),
        "higher 0.2.1": (higher_step, prior.net),
        "metaprior, a task at a time": (our_step, MAML(prior.net, inner_steps=1, step_size=STEP, chunk=1)),
        "metaprior": (our_step, prior),
    }

    if failed:
        del rows["higher 0.2.1"]

    def run(row, episode):
        step, subject = rows[row]
        for parameter in parameters:
            parameter.grad = None
        start = clock(options.clock)
        loss = step(subject, episode)
        return clock(options.clock) - start, loss, torch.cat([p.grad.flatten() for p in parameters]).norm().item()

    prior.double()
    for row in rows:
        expected, found = (
            run("plain loop over tasks", episode.to(torch.float64))[1:],
            run(row, episode.to(torch.float64))[1:],
        )
        assert all(abs(a - b) < 1e-9 * abs(b) for a, b in zip(found, expected, strict=True)), (row, found, expected)
    prior.float()

    seconds = [{row: run(row, episode)[0] for row in rows} for _ in range(options.rounds + 3)][3:]
    with FlopCounterMode(display=False) as counter:
        loop_step(parameters, episode)
    peak = matmul_peak(options.clock)
    result = {
        "what": "second-order MAML, 1-40-40-1 network, 10 shots, 10 queries, 32 tasks a step, 1 inner step, float32",
        "settings": {"threads": 1, **vars(options)},
        "machine": machine(matmul_peak_gflops=round(peak / 1e9, 1)),
        "not_installed": failed,
        "rows": {
            row: {
                "milliseconds_per_step": spread(1e3 * each[row] for each in seconds),
                "ratio_to_loop": spread(each["plain loop over tasks"] / each[row] for each in seconds),
                "share_of_peak": counter.get_total_flops() / statistics.median(each[row] for each in seconds) / peak,
            }
            for row in rows
        },
    }
    cells = [
        [
            row,
            f"{values['milliseconds_per_step']['median']:.2f}",
            "{median:.1f} ({lower:.1f} to {upper:.1f})".format(**values["ratio_to_loop"]),
            f"{values['share_of_peak']:.1%}",
        ]
        for row, values in result["rows"].items()
    ]
    columns = ["", f"ms a step ({options.clock})", "ratio to the loop", "share of matmul peak"]
    report("sinusoid_maml", "Second-order MAML, sinusoids, 32 tasks a step, 1 thread", columns, cells, result)


if __name__ == "__main__":
    main()
