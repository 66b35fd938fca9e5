"""A hypernetwork that writes a 32-64-64-5 network for each of 64 tasks, 100 points a task, forward and backward.

python benchmarks/hypernetwork.py
"""

import argparse
import os
import statistics
import sys
import tempfile

import torch
from measure import clock, install, machine, matmul_peak, report, spread
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from metaprior import Hypernet
from metaprior.gradient import FastWeights
from metaprior.nets import MLP

TASKS, POINTS, INPUTS, HIDDEN, OUTPUTS = 64, 100, 32, (64, 64), 5
LOOP, PEER, OURS = "loop over tasks", "hypnettorch 0.0.4", "metaprior"
PACKAGES = {"hypnettorch": ["hypnettorch==0.0.4"]}


def peer(prior):
    """Build hypnettorch's full hypernetwork and network, of the same shapes."""
    from hypnettorch.hnets import HMLP
    from hypnettorch.mnets import MLP as MainMLP

    main = MainMLP(n_in=INPUTS, n_out=OUTPUTS, hidden_layers=HIDDEN, no_weights=True, verbose=False)
    writer = prior.net.writer
    hyper = HMLP(
        main.param_shapes,
        uncond_in_size=writer.code,
        cond_in_size=0,
        layers=(writer.hidden,),
        activation_fn=torch.nn.Tanh(),
        num_cond_embs=0,
        verbose=False,
    )
    return main, hyper


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    folder = tempfile.mkdtemp()
    failed = install(folder, PACKAGES)
    sys.path.append(folder)

    random = torch.Generator().manual_seed(0)
    prior = Hypernet(MLP(INPUTS, OUTPUTS, hidden=HIDDEN))
    codes = torch.randn(TASKS, prior.net.code_size, generator=random)
    x = torch.randn(TASKS, POINTS, INPUTS, generator=random)

    def ours(x):
        return prior.predict(FastWeights({"code": codes.to(x.dtype)}, ()), x)

    def loop(x):
        net = prior.net
        return torch.stack(
            [
                functional_call(net.net, net.weights(code), (part,))
                for code, part in zip(codes.to(x.dtype), x, strict=True)
            ]
        )

    rows = {LOOP: (loop, prior), OURS: (ours, prior)}
    if not failed:
        target, hyper = peer(prior)

        def theirs(x):
            weights = hyper(uncond_input=codes, ret_format="sequential")
            return torch.stack([target(part, weights=own) for part, own in zip(x, weights, strict=True)])

        rows[PEER] = (theirs, hyper)

    def run(row):
        forward, module = rows[row]
        module.zero_grad()
        start = clock(options.clock)
        forward(x).square().mean().backward()
        return clock(options.clock) - start

    prior.double()
    torch.testing.assert_close(ours(x.double()), loop(x.double()), rtol=1e-10, atol=1e-12)
    prior.float()
    seconds = [{row: run(row) for row in rows} for _ in range(options.rounds + 3)][3:]
    with FlopCounterMode(display=False) as counter:
        run(LOOP)
    peak = matmul_peak(options.clock)
    result = {
        "what": "64 networks of 32-64-64-5, written by a hypernetwork of 32 hidden units, 100 points each, float32",
        "settings": vars(options),
        "machine": machine(matmul_peak_gflops=round(peak / 1e9, 1)),
        "not_installed": failed,
        "rows": {
            row: {
                "milliseconds": spread(1e3 * each[row] for each in seconds),
                "ratio_to_loop": spread(each[LOOP] / each[row] for each in seconds),
                "ratio_to_hypnettorch": spread(each[PEER] / each[row] for each in seconds) if PEER in rows else None,
                "share_of_peak": counter.get_total_flops() / statistics.median(each[row] for each in seconds) / peak,
            }
            for row in rows
        },
    }
    ratio = "{median:.1f} ({lower:.1f} to {upper:.1f})"
    cells = [
        [
            row,
            f"{values['milliseconds']['median']:.1f}",
            ratio.format(**values["ratio_to_loop"]),
            ratio.format(**values["ratio_to_hypnettorch"]) if values["ratio_to_hypnettorch"] else "",
            f"{values['share_of_peak']:.0%}",
        ]
        for row, values in result["rows"].items()
    ]
    columns = ["", f"ms ({options.clock})", "ratio to the loop", "to hypnettorch", "share of matmul peak"]
    title = f"A hypernetwork writes 64 networks; {options.threads} threads"
    report("hypernetwork", title, columns, cells, result)


if __name__ == "__main__":
    main()
