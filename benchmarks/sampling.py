"""What drawing Omniglot episodes takes: 1,000 of them, and its share of an outer step of each prior.

METAPRIOR_DATA=FOLDER python benchmarks/sampling.py
"""

import argparse

import torch
from measure import clock, machine, report, spread

from metaprior import MAML, ProtoNet
from metaprior.acquire import acquire
from metaprior.errors import DataError
from metaprior.tasks import Omniglot


class Timed(Omniglot):
    """The same source, which adds up the time that drawing takes."""

    kind = "wall"
    seconds = 0.0

    def sample(self, *arguments, **named):
        start = clock(self.kind)
        episode = super().sample(*arguments, **named)
        Timed.seconds += clock(self.kind) - start
        return episode


def share(prior, source, steps, tasks):
    """Return which part of the time of outer steps was spent on drawing their tasks."""
    acquire(prior, source, steps=1, tasks_per_step=tasks, validations=0)
    Timed.seconds, start = 0.0, clock(source.kind)
    acquire(prior, source, steps=steps, tasks_per_step=tasks, validations=0)
    return Timed.seconds / (clock(source.kind) - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    options = parser.parse_args()
    Timed.kind = options.clock
    source = Timed(ways=5, shots=1, queries=15)
    generator = torch.Generator().manual_seed(0)
    try:
        source.sample(1, generator)
    except DataError as error:
        print(f"skipped: {error}")
        return
    seconds = {"at once": [], "32 at a time": []}
    for _ in range(options.rounds):
        for name, size in (("at once", 1000), ("32 at a time", 32)):
            start = clock(options.clock)
            for first in range(0, 1000, size):
                source.sample(min(size, 1000 - first), generator)
            seconds[name].append(clock(options.clock) - start)
    spec = source.spec
    priors = {"maml": MAML.for_tasks(spec), "protonet": ProtoNet.for_tasks(spec)}
    shares = {name: share(prior, source, steps=4, tasks=8) for name, prior in priors.items()}
    result = {
        "what": "Omniglot, 5 ways, 1 shot, 15 queries a class, from resident memory",
        "settings": vars(options),
        "machine": machine(),
        "seconds_for_1000": {name: spread(values) for name, values in seconds.items()},
        "share_of_outer_step": shares,
    }
    cells = [
        [f"1,000 episodes, {name}", "{median:.2f} s ({lower:.2f} to {upper:.2f})".format(**values)]
        for name, values in result["seconds_for_1000"].items()
    ]
    cells += [[f"share of an outer step of {name}", f"{value:.1%}"] for name, value in shares.items()]
    report("sampling", f"Drawing Omniglot episodes ({options.clock} time)", ["", ""], cells, result)


if __name__ == "__main__":
    main()
