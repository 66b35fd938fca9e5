"""Second-order MAML of Conv4 behind a hypernetwork, against plain MAML of Conv4 plus the generator alone.

5 ways, 1 shot, 15 queries a class, 28x28 images; the rows take turns, an outer step each. What the generator alone
costs is measured on the same codes: weights, their derivative, a step, weights again, and the derivative of that.

    python benchmarks/conv4_hypernetwork.py
"""

import argparse
import os
import resource
import sys

import torch
from measure import clock, machine, report, spread

from metaprior import MAML, Hypernet
from metaprior.nets import Conv4
from metaprior.tasks import Episode, Examples

WAYS, QUERIES = 5, 15
PLAIN = "plain"


def make_tasks(tasks):
    generator = torch.Generator().manual_seed(0)

    def examples(each):
        y = torch.arange(WAYS).repeat_interleave(each).expand(tasks, -1)
        return Examples(torch.rand(*y.shape, 1, 28, 28, generator=generator), y)

    return Episode(examples(1), examples(QUERIES))


def generator_alone(net):
    """Return what an outer step costs that runs the generator, but nothing that it generates."""
    directions = {name: torch.randn_like(value) for name, value in net.weights().items()}

    def loss():
        total = sum((value * directions[name]).sum() for name, value in net.weights(net.code).items())
        (gradient,) = torch.autograd.grad(total, net.code, create_graph=True)
        return sum((value * directions[name]).sum() for name, value in net.weights(net.code - gradient).items())

    return loss


def step(prior, loss, tasks):
    prior.zero_grad()
    for task in range(tasks):
        (loss(task) / tasks).backward()


def megabytes():
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == "darwin" else 1024)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--tasks", type=int, default=4)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    episode = make_tasks(options.tasks)
    rows = {PLAIN: MAML(Conv4(1, 28, WAYS), step_size=0.1)}
    for generator in ("low_rank", "factorised", "templates", "chunked"):
        rows[generator] = Hypernet(Conv4(1, 28, WAYS), generator, step_size=0.1)
    losses = {row: lambda task, prior=prior: prior.loss(episode[task : task + 1]) for row, prior in rows.items()}
    for row, prior in list(rows.items())[1:]:
        alone = generator_alone(prior.net)
        losses[f"{row} alone"] = lambda task, alone=alone: alone()
        rows[f"{row} alone"] = prior

    def timed(row):
        start = clock(options.clock)
        step(rows[row], losses[row], options.tasks)
        return 1e3 * (clock(options.clock) - start) / options.tasks

    for row in rows:
        step(rows[row], losses[row], options.tasks)
    settled = megabytes()
    each = [{row: timed(row) for row in rows} for _ in range(options.rounds)]
    generated = [row for row in rows if f"{row} alone" in rows]
    result = {
        "what": "an outer step of MAML on Conv4-64, generated, 5-way 1-shot, 15 queries a class, float32",
        "settings": vars(options),
        "machine": machine(),
        "megabytes_after_one_round": settled,
        "megabytes_after_all_rounds": megabytes(),
        "rows": {
            row: {
                "milliseconds_a_task": spread(turn[row] for turn in each),
                "ratio_to_plain": spread(turn[row] / turn[PLAIN] for turn in each),
                "ratio_to_plain_and_generator": spread(
                    turn[row] / (turn[PLAIN] + turn[f"{row} alone"]) for turn in each
                )
                if row in generated
                else None,
                "parameters": sum(parameter.numel() for parameter in rows[row].parameters()),
            }
            for row in rows
        },
    }
    ratio = "{median:.2f} ({lower:.2f} to {upper:.2f})"
    cells = [
        [
            row,
            f"{values['milliseconds_a_task']['median']:.1f}",
            ratio.format(**values["ratio_to_plain"]),
            ratio.format(**values["ratio_to_plain_and_generator"]) if values["ratio_to_plain_and_generator"] else "",
            f"{values['parameters']:,}",
        ]
        for row, values in result["rows"].items()
    ]
    columns = ["", f"ms a task ({options.clock})", "ratio to plain", "to plain + generator", "parameters"]
    title = f"Conv4-64 behind a hypernetwork; {options.threads} threads; {settled:.0f} MB, then {megabytes():.0f} MB"
    report("conv4_hypernetwork", title, columns, cells, result)


if __name__ == "__main__":
    main()
