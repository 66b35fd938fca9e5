"""Second-order MAML of Conv4 on 28x28 images, 5 ways, 1 shot, 15 queries a class: metaprior against its peers.

Every row runs in processes of its own, since the setting of the allocator holds for a whole process. The processes
take turns, an outer step each, so that a ratio compares neighbours in time, and are started several times over, since
how fast a process is depends on the memory it happens to get. Peers go into a temporary folder.

    python benchmarks/conv4_maml.py
    python benchmarks/conv4_maml.py --threads 1 --clock cpu    # on a machine that others use, too
"""

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile

from measure import HIGHER, Worker, clock, install, machine, matmul_peak, report, spread
from rich.progress import Progress

WAYS, SHOTS, QUERIES, STEP = 5, 1, 15, 0.4
PEERS = {"higher": [HIGHER], "torchopt": ["torchopt==0.7.3", "optree==0.20.0", "graphviz==0.21"]}
ROWS = {
    "loop": "plain loop over autograd.grad",
    "loop keep": "plain loop, keep_memory()",
    "higher": "higher 0.2.1",
    "torchopt": "TorchOpt 0.7.3",
    "ours": "metaprior",
    "ours keep": "metaprior, keep_memory()",
    "ours inductive": "metaprior, inductive",
    "ours inductive keep": "metaprior, inductive, keep_memory()",
}


def make_tasks(tasks, dtype):
    import torch

    generator = torch.Generator().manual_seed(0)
    draw = lambda size: torch.rand(tasks, size, 1, 28, 28, generator=generator).to(dtype)  # noqa: E731
    labels = lambda each: torch.arange(WAYS).repeat_interleave(each).expand(tasks, -1).contiguous()  # noqa: E731
    return draw(WAYS * SHOTS), labels(SHOTS), draw(WAYS * QUERIES), labels(QUERIES)


def published_net(dtype):
    """Build the network as its papers print it, in the default layout, with the weights that metaprior begins with."""
    from torch import nn

    from metaprior.nets import Conv4

    layers = []
    for before in (1, 64, 64, 64):
        norm = nn.BatchNorm2d(64, track_running_stats=False)
        layers += [nn.Conv2d(before, 64, 3, padding=1, bias=False), norm, nn.ReLU(), nn.MaxPool2d(2)]
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, WAYS))
    for parameter, initial in zip(net.parameters(), Conv4(1, 28, WAYS).parameters(), strict=True):
        parameter.data.copy_(initial.data)
    return net.to(dtype)


def loop_loss(dtype, inductive=False):
    """Return the parameters, and the outer loss of one task, from `autograd.grad` alone."""
    import torch
    from torch.nn import functional

    net = published_net(dtype)
    parameters = list(net.parameters())

    def forward(weights, x, given=None):
        statistics = []
        for layer in range(4):
            kernel, scale, shift = weights[3 * layer : 3 * layer + 3]
            x = functional.conv2d(x, kernel, padding=1)
            if inductive:
                statistics.append((x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)))
                mean, variance = (given or statistics)[layer]
                across = (-1, 1, 1)
                x = (x - mean.view(across)) * torch.rsqrt(variance + 1e-5).view(across)
                x = x * scale.view(across) + shift.view(across)
            else:
                x = functional.batch_norm(x, None, None, scale, shift, training=True)
            x = functional.max_pool2d(x.relu(), 2)
        return functional.linear(x.flatten(1), *weights[-2:]), statistics

    def loss(support, support_labels, query, query_labels):
        inner = functional.cross_entropy(forward(parameters, support)[0], support_labels)
        gradients = torch.autograd.grad(inner, parameters, create_graph=True)
        adapted = [weight - STEP * gradient for weight, gradient in zip(parameters, gradients, strict=True)]
        given = forward(adapted, support)[1] if inductive else None
        return functional.cross_entropy(forward(adapted, query, given)[0], query_labels)

    return parameters, loss


def higher_loss(dtype):
    import higher
    import torch
    from torch.nn import functional

    net = published_net(dtype)
    optimiser = torch.optim.SGD(net.parameters(), lr=STEP)

    def loss(support, support_labels, query, query_labels):
        with higher.innerloop_ctx(net, optimiser, copy_initial_weights=False) as (fast, inner):
            inner.step(functional.cross_entropy(fast(support), support_labels))
            return functional.cross_entropy(fast(query), query_labels)

    return list(net.parameters()), loss


def torchopt_loss(dtype):
    import torchopt
    from torch.nn import functional

    net = published_net(dtype)
    parameters = list(net.parameters())
    optimiser = torchopt.MetaSGD(net, lr=STEP)
    start = torchopt.extract_state_dict(net, by="reference"), torchopt.extract_state_dict(optimiser)

    def loss(support, support_labels, query, query_labels):
        torchopt.recover_state_dict(net, start[0])
        torchopt.recover_state_dict(optimiser, start[1])
        optimiser.step(functional.cross_entropy(net(support), support_labels))
        return functional.cross_entropy(net(query), query_labels)

    return parameters, loss


def our_loss(dtype, inductive):
    from metaprior import MAML
    from metaprior.nets import Conv4
    from metaprior.tasks import Episode, Examples

    prior = MAML(Conv4(1, 28, WAYS).to(dtype), inner_steps=1, step_size=STEP, transductive=not inductive)

    def loss(support, support_labels, query, query_labels):
        parts = Examples(support[None], support_labels[None]), Examples(query[None], query_labels[None])
        return prior.loss(Episode(*parts))

    return list(prior.parameters()), loss


def losses(row, dtype):
    if row.startswith("ours"):
        return our_loss(dtype, "inductive" in row)
    if row.startswith("loop"):
        return loop_loss(dtype, "inductive" in row)
    return {"higher": higher_loss, "torchopt": torchopt_loss}[row](dtype)


def outer_step(parameters, loss, tasks):
    for parameter in parameters:
        parameter.grad = None
    total = 0.0
    for task in zip(*tasks, strict=True):
        part = loss(*task) / len(tasks[0])
        part.backward()
        total += part.item()
    return total


def serve(row, options):
    """Answer questions about one row; this process is its own."""
    if "keep" in row:
        from metaprior.allocator import keep_memory

        keep_memory()
    import torch

    parameters, loss = losses(row, torch.float32)
    tasks = make_tasks(options.tasks, torch.float32)

    def check():
        parameters, loss = losses(row, torch.float64)
        total = outer_step(parameters, loss, make_tasks(2, torch.float64))
        return {"loss": total, "gradient_norm": torch.cat([p.grad.flatten() for p in parameters]).norm().item()}

    def step():
        start = clock(options.clock)
        outer_step(parameters, loss, tasks)
        return (clock(options.clock) - start) / options.tasks

    def megabytes():
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1024**2 if sys.platform == "darwin" else 1024)

    answers = {"check": check, "step": step, "megabytes": megabytes, "peak": lambda: matmul_peak(options.clock)}
    for question in sys.stdin:
        print(json.dumps(answers[question.strip()]()), flush=True)


def counted_flops():
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    parameters, loss = loop_loss(torch.float32)
    with FlopCounterMode(display=False) as counter:
        outer_step(parameters, loss, make_tasks(1, torch.float32))
    return counter.get_total_flops()


def agree(found, expected, name):
    for key, value in expected.items():
        assert abs(found[key] - value) < 1e-8 * abs(value), f"{name}: {key} is {found[key]}, expected {value}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--restarts", type=int, default=3, help="processes of each row; each has its luck with memory")
    parser.add_argument("--rounds", type=int, default=10, help="timed outer steps of a process, after two that are not")
    parser.add_argument("--tasks", type=int, default=8, help="of an outer step")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        serve(options.row, options)
        return

    with tempfile.TemporaryDirectory() as folder:
        failed = install(folder, PEERS)

        def worker(row):
            own = [f"--clock={options.clock}", f"--tasks={options.tasks}", "--row", row]
            return Worker([__file__, *own], options.threads, folder)

        rows = [row for row in ROWS if row not in failed]
        for row in (row for row in rows if "keep" not in row):
            reference, checked = worker("loop inductive" if "inductive" in row else "loop"), worker(row)
            agree(checked.ask("check"), reference.ask("check"), row)
            reference.close()
            checked.close()
        rounds, peaks, megabytes = [], [], []
        with Progress() as progress:
            steps = progress.add_task("outer steps", total=options.restarts * (options.rounds + 2))
            for _ in range(options.restarts):
                workers = {row: worker(row) for row in rows}
                for turn in range(options.rounds + 2):
                    times = {row: workers[row].ask("step") for row in rows}
                    peaks.append(workers["loop"].ask("peak"))
                    if turn >= 2:
                        rounds.append(times)
                    progress.advance(steps)
                megabytes.append({row: workers[row].ask("megabytes") for row in rows})
                for each in workers.values():
                    each.close()

    peak = max(peaks)
    flops = counted_flops()
    result = {
        "what": "second-order MAML, Conv4-64, 28x28, 5 ways, 1 shot, 15 queries a class, 1 inner step, float32",
        "settings": {key: vars(options)[key] for key in ("threads", "clock", "restarts", "rounds", "tasks")},
        "machine": machine(threads=options.threads, matmul_peak_gflops=round(peak / 1e9, 1)),
        "gflop_per_task": round(flops / 1e9, 2),
        "not_installed": failed,
        "rows": {
            row: {
                "name": ROWS[row],
                "tasks_per_second": spread(1 / each[row] for each in rounds),
                "megabytes": round(max(each[row] for each in megabytes)),
                "ratio_to_loop": spread(each["loop"] / each[row] for each in rounds),
                "ratio_to_higher": spread(each["higher"] / each[row] for each in rounds) if "higher" in rows else None,
                "share_of_peak": flops / statistics.median(each[row] for each in rounds) / peak,
            }
            for row in rows
        },
    }
    cells = [
        [
            values["name"],
            f"{values['tasks_per_second']['median']:.1f}",
            "{median:.2f} ({lower:.2f} to {upper:.2f})".format(**values["ratio_to_loop"]),
            "{median:.2f}".format(**values["ratio_to_higher"]) if values["ratio_to_higher"] else "",
            f"{values['megabytes']}",
            f"{values['share_of_peak']:.0%}",
        ]
        for values in result["rows"].values()
    ]
    unit = "tasks/s" if options.clock == "wall" else "tasks/s of processor time"
    title = f"Second-order MAML, Conv4, 5 ways, 1 shot; {options.threads} threads"
    report(
        "conv4_maml" if options.threads == os.cpu_count() else f"conv4_maml_threads_{options.threads}",
        title,
        ["", unit, "ratio to the loop (quartiles)", "to higher", "peak MB", "share of matmul peak"],
        cells,
        result,
    )


if __name__ == "__main__":
    main()
