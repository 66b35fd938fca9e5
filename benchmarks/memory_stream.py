"""Layer-distributed memory in Conv4: a step against a plain per-step loop, memory against the length of a stream.

python benchmarks/memory_stream.py
"""

import argparse
import gc
import json
import os
import resource
import statistics
import sys
from pathlib import Path

import torch
from measure import Worker, clock, machine, matmul_peak, report, spread
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from metaprior import DistributedMemory
from metaprior.allocator import keep_memory
from metaprior.memory import Carried
from metaprior.nets import Conv4
from metaprior.tasks import Examples, Stream

WAYS, SIZE, WIDTH = 5, 28, 32
PLAIN, PLAIN_KEEP = "plain loop over steps", "plain loop, keep_memory()"
OURS, OURS_KEEP = "metaprior", "metaprior, keep_memory()"
LENGTHS = (50, 100, 200)
LONG = 10_000
MEMORY_STREAMS = 16


def build(**arguments):
    net = Conv4(1, SIZE, WAYS, width=WIDTH, norm="group")
    return DistributedMemory(net, (1, SIZE, SIZE), WAYS, **arguments)


def draw(streams, steps, dtype=torch.float32):
    random = torch.Generator().manual_seed(0)
    x = torch.rand(streams, steps, 1, SIZE, SIZE, generator=random)
    return Stream(Examples(x.to(dtype), torch.randint(WAYS, (streams, steps), generator=random)))


def plain(prior, stream):
    """Take step after step through block after block, in torch's own layout, with automatic differentiation."""
    x, y = stream.examples.x, stream.examples.y
    cells = list(prior.cells)
    kernels = [cell.from_output.contiguous() for cell in cells]
    carried = [Carried(*(torch.zeros(len(x), *cell.shape, dtype=x.dtype) for _ in range(2))) for cell in cells]
    told = functional.one_hot(torch.full((len(x),), WAYS), WAYS + 1).to(x.dtype)
    logits = []
    for step in range(x.shape[1]):
        maps = x[:, step]
        for place, (block, cell) in enumerate(zip(prior.net.blocks, cells, strict=True)):
            output, memory = carried[place]
            gates = functional.conv2d(block(maps), cell.from_input, cell.bias)
            gates = gates + functional.conv2d(output, kernels[place], padding=1)
            gates = gates + functional.linear(told, cell.from_label)[:, :, None, None]
            take, keep, show, new = gates.chunk(4, dim=1)
            memory = (keep + 1).sigmoid() * memory + take.sigmoid() * new.tanh()
            maps = show.sigmoid() * memory.tanh()
            carried[place] = Carried(maps, memory)
        logits.append(prior.net.head(maps.flatten(1)))
        told = functional.one_hot(y[:, step], WAYS + 1).to(x.dtype)
    return torch.stack(logits, dim=1)


def check():
    """Compare logits and gradients in double precision."""
    prior, stream = build().double(), draw(3, 7, torch.float64)
    found = []
    for predict in (prior.stream, lambda stream: plain(prior, stream)):
        logits = predict(stream)
        loss = functional.cross_entropy(logits.flatten(0, 1), stream.examples.y.flatten())
        found.append((logits, *torch.autograd.grad(loss, list(prior.parameters()))))
    torch.testing.assert_close(*found, rtol=1e-8, atol=1e-10)


def peak_mb():
    """Return the most memory that this process took; what `getrusage` says includes its parent's, on Linux."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1024


def outer_step(prior, predict, stream):
    prior.zero_grad()
    logits = predict(stream)
    functional.cross_entropy(logits.flatten(0, 1), stream.examples.y.flatten()).backward()


def worker(options):
    """Do one row, in a process of its own, whenever a line comes."""
    torch.set_num_threads(options.threads)
    if options.row in (PLAIN_KEEP, OURS_KEEP):
        keep_memory()
    prior, stream = build(), draw(options.streams[0], options.steps)
    predict = prior.stream if options.row in (OURS, OURS_KEEP) else lambda stream: plain(prior, stream)
    for _ in sys.stdin:
        start = clock(options.clock)
        outer_step(prior, predict, stream)
        print(json.dumps({"seconds": clock(options.clock) - start, "peak_mb": peak_mb()}), flush=True)


def memory_worker(options):
    """Take one outer step and tell how much memory it took beyond the inputs."""
    torch.set_num_threads(options.threads)
    group = 10 if options.row == "saved" else None
    prior = build(steps_at_once=group, save_memory=options.row == "saved")
    outer_step(prior, prior.stream, draw(options.streams[0], 2))
    stream = draw(options.streams[0], options.steps)
    gc.collect()
    before = peak_mb()
    for _ in sys.stdin:
        outer_step(prior, prior.stream, stream)
        print(json.dumps(peak_mb() - before), flush=True)


def inference_worker(options):
    """Follow one stream of many steps, and then step by step."""
    torch.set_num_threads(options.threads)
    prior, stream = build().eval(), draw(1, options.steps)
    for _ in sys.stdin:
        with torch.no_grad():
            prior.follow(Stream(stream.examples.take(slice(0, 100))))
            before = peak_mb()
            start = clock(options.clock)
            prior.follow(stream)
            seconds = clock(options.clock) - start
            grown = peak_mb() - before
            state, single = prior.start(1), []
            for step in range(min(200, options.steps)):
                start = clock(options.clock)
                _, state = prior.enter(state, stream.examples.x[:, step])
                state = prior.tell(state, stream.examples.y[:, step])
                single.append(1e3 * (clock(options.clock) - start))
        print(json.dumps({"ms": 1e3 * seconds / options.steps, "grown_mb": grown, "single_ms": single}), flush=True)


def ask(job, row, options, rounds=1, **changed):
    """Start a process for a row, and return its answers."""
    values = {key: value for key, value in vars(options).items() if key not in ("job", "row", "rounds")} | changed
    words = [word for key, value in values.items() for word in (f"--{key}", str(value))]
    process = Worker([__file__, "--job", job, "--row", row, *words], options.threads)
    answers = [process.ask() for _ in range(rounds)]
    process.close()
    return answers


def compare(options, streams):
    """Let a step of each row take turns with the others, over so many streams at once; return what they took."""
    names = (PLAIN, PLAIN_KEEP, OURS, OURS_KEEP)
    shared = ["--threads", str(options.threads), "--clock", options.clock, "--job", "speed"]
    shared += ["--streams", str(streams), "--steps", str(options.steps)]
    workers = {name: Worker([__file__, *shared, "--row", name], options.threads) for name in names}
    answers = [{name: workers[name].ask() for name in names} for _ in range(options.rounds + 1)][1:]
    for process in workers.values():
        process.close()
    with FlopCounterMode(display=False) as counter:
        prior = build()
        outer_step(prior, lambda stream: plain(prior, stream), draw(streams, options.steps))
    peak = matmul_peak(options.clock)
    seconds = {name: [each[name]["seconds"] for each in answers] for name in names}
    return {
        name: {
            "milliseconds_a_step": spread(1e3 * value / options.steps for value in seconds[name]),
            "ratio_to_plain": spread(slow / value for slow, value in zip(seconds[PLAIN], seconds[name], strict=True)),
            "ratio_to_plain_keep": spread(
                slow / value for slow, value in zip(seconds[PLAIN_KEEP], seconds[name], strict=True)
            ),
            "peak_mb": max(each[name]["peak_mb"] for each in answers),
            "share_of_peak": counter.get_total_flops() / statistics.median(seconds[name]) / peak,
        }
        for name in names
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4, 16, 64], help="at once")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--job", default=None, help=argparse.SUPPRESS)
    parser.add_argument("--row", default=OURS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job is not None:
        {"speed": worker, "memory": memory_worker, "inference": inference_worker}[options.job](options)
        return
    torch.set_num_threads(options.threads)
    check()
    rows = {streams: compare(options, streams) for streams in options.streams}
    grown = {
        kind: {steps: ask("memory", kind, options, streams=MEMORY_STREAMS, steps=steps)[0] for steps in LENGTHS}
        for kind in ("kept", "saved")
    }
    followed = ask("inference", OURS, options, streams=1, steps=LONG)[0]
    followed["single_ms"] = spread(followed["single_ms"])
    result = {
        "what": f"Conv4-{WIDTH}, group norm, a ConvLSTM behind each block, {SIZE}x{SIZE}, both passes, float32",
        "settings": {key: value for key, value in vars(options).items() if key not in ("job", "row")},
        "machine": machine(matmul_peak_gflops=round(matmul_peak(options.clock) / 1e9, 1)),
        "rows_by_streams": rows,
        "memory_mb_by_steps": {"streams": MEMORY_STREAMS, **grown},
        "inference": {"steps": LONG, **followed},
    }
    ratio = "{median:.2f} ({lower:.2f} to {upper:.2f})"
    cells = [
        [
            str(streams),
            name,
            f"{values['milliseconds_a_step']['median']:.1f}",
            ratio.format(**values["ratio_to_plain"]),
            ratio.format(**values["ratio_to_plain_keep"]),
            f"{values['peak_mb']:.0f}",
            f"{values['share_of_peak']:.0%}",
        ]
        for streams, named in rows.items()
        for name, values in named.items()
    ]
    columns = [
        "streams",
        "",
        f"ms a step ({options.clock})",
        "to the loop",
        "to it, memory kept",
        "peak MB",
        "of peak",
    ]
    report("memory_stream", f"{options.steps} steps; {options.threads} threads", columns, cells, result)
    for kind, by_steps in grown.items():
        figures = ", ".join(f"{steps} steps {grew:.0f} MB" for steps, grew in by_steps.items())
        print(f"{'with save_memory' if kind == 'saved' else 'without'}: {figures}")
    single = "{median:.1f} ms ({lower:.1f} to {upper:.1f})".format(**followed["single_ms"])
    print(
        f"{LONG:,} steps of one stream: {followed['ms']:.1f} ms each, {followed['grown_mb']:.0f} MB more than 100 steps"
    )
    print(f"one step alone, batch 1: {single}; load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
