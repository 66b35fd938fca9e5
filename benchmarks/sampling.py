"""What drawing tasks takes: 1,000 Omniglot episodes, and its share of outer steps over every kind of source.

METAPRIOR_DATA=FOLDER python benchmarks/sampling.py
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas
import torch
from measure import clock, machine, report, spread

from metaprior import acquire
from metaprior.errors import DataError
from metaprior.registry import priors
from metaprior.tasks import Glyphs, Linear, Omniglot, Sinusoid, Table

PRIORS = {"classification": ("maml", "protonet", "ridge"), "regression": ("maml", "reptile", "ridge")}


def table(folder: Path) -> Table:
    """A table of 20 tasks with 200 rows of 6 features."""
    numbers = np.random.default_rng(0)
    frame = pandas.DataFrame(numbers.normal(size=(4000, 6)), columns=list("abcdef"))
    frame = frame.assign(task=np.repeat(np.arange(20), 200), target=frame.sum(axis=1))
    frame.to_csv(folder / "table.csv", index=False)
    return Table(folder / "table.csv")


def share(name: str, source, kind: str) -> float:
    """Return which part of the time of outer steps was spent on drawing their tasks, with default settings."""
    prior = priors[name].for_tasks(source.spec)
    steps = 4 if source.spec.is_image else 400
    spent = [0.0]
    draw = type(source).sample.__get__(source)

    def timed(*arguments, **named):
        start = clock(kind)
        episode = draw(*arguments, **named)
        spent[0] += clock(kind) - start
        return episode

    acquire(prior, source, steps=1, validations=0)
    source.sample = timed
    _ = source.data_hash
    spent[0], start = 0.0, clock(kind)
    acquire(prior, source, steps=steps, validations=0)
    whole = clock(kind) - start
    del source.sample
    return spent[0] / whole


def main():
    """Time both, print a table and write a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    seconds: dict[str, list[float]] = {"at once": [], "32 at a time": []}
    source, generator = Omniglot(ways=5, shots=1, queries=15), torch.Generator().manual_seed(0)
    try:
        source.sample(1, generator)
    except DataError as error:
        print(f"skipped: {error}")
        return
    for _ in range(options.rounds):
        for name, size in (("at once", 1000), ("32 at a time", 32)):
            start = clock(options.clock)
            for first in range(0, 1000, size):
                source.sample(min(size, 1000 - first), generator)
            seconds[name].append(clock(options.clock) - start)
    with tempfile.TemporaryDirectory() as folder:
        sources = (source, Glyphs(), Sinusoid(), Linear(), table(Path(folder)))
        shares = {
            f"{type(source).__name__.lower()}, {name}": share(name, source, options.clock)
            for source in sources
            for name in PRIORS[source.spec.kind]
        }
    result = {
        "what": "Omniglot, 5 ways, 1 shot, 15 queries a class, from resident memory; shares with default settings",
        "settings": vars(options),
        "machine": machine(),
        "seconds_for_1000": {name: spread(values) for name, values in seconds.items()},
        "share_of_outer_step": shares,
    }
    cells = [
        [f"1,000 Omniglot episodes, {name}", "{median:.2f} s ({lower:.2f} to {upper:.2f})".format(**values)]
        for name, values in result["seconds_for_1000"].items()
    ]
    cells += [[f"share of an outer step: {name}", f"{value:.1%}"] for name, value in shares.items()]
    report("sampling", f"Drawing tasks ({options.clock} time)", ["", ""], cells, result)


if __name__ == "__main__":
    main()
