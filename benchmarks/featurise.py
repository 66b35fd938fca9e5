"""Featurising, adapting and scoring molecules: 10,000 SMILES to features, 64 labels to a belief, a library to scores.

python benchmarks/featurise.py
"""

import argparse
import itertools
import os
import tempfile
import time
from pathlib import Path

import torch
from measure import machine, report

from metaprior import load, read_card
from metaprior.errors import DataError
from metaprior.molecules import NCI
from metaprior.molecules.featurise import featurise
from metaprior.molecules.nci import nci_smiles
from metaprior.molecules.own import read_properties
from metaprior.molecules.structure import parse
from metaprior.predict import believe, predict_rows


def library(size):
    """Return so many different SMILES: those that come with RDKit, and with an alkyl chain put before them."""
    plain = [text for text in nci_smiles() if text[0] in "CNO" and not set(text) & set(".+-")]
    longer = (f"{'C' * chain}{text}" for chain in itertools.count() for text in plain)
    return list(itertools.islice(filter(possible, longer), size))


def possible(text):
    try:
        parse(text)
    except DataError:
        return False
    return True


def timed(action):
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def adapting(size):
    """Return the seconds to adapt to 64 labels, and to read, featurise and score a library."""
    prior, inputs = load("zoo:molecules"), read_card("zoo:molecules")["inputs"]
    source = NCI(molecules=500, featuriser=inputs["featuriser"])
    episode = source.with_shots(64).sample(1, torch.Generator().manual_seed(0))
    adapt = min(timed(lambda: prior.predict(believe(prior, episode.support, 2), episode.query.x)) for _ in range(5))
    with tempfile.TemporaryDirectory() as folder:
        support, query = Path(folder) / "support.csv", Path(folder) / "query.csv"
        labelled = [f"{text},{at % 2}" for at, text in enumerate(library(64))]
        support.write_text("\n".join(["smiles,active", *labelled]))
        query.write_text("\n".join(["smiles", *library(size)]))

        def score():
            task = read_properties(support, query, inputs)[0]
            predict_rows(prior, believe(prior, task.support, 2), task.query)

        return {"adapt to 64 labels": adapt, f"read and score {size:,} molecules": timed(score)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--molecules", type=int, default=10_000)
    parser.add_argument("--library", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=None)
    options = parser.parse_args()
    smiles = library(options.molecules)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["METAPRIOR_CACHE"] = folder
        seconds = {}
        for name in ("morgan", "atom_pairs+torsions", "descriptors"):
            for kept in ("computed", "from the cache"):
                start = time.perf_counter()
                featurise(smiles, name, processes=options.processes)
                seconds[f"{name}, {kept}"] = time.perf_counter() - start
        seconds |= adapting(options.library)
    result = {"settings": vars(options), "machine": machine(), "seconds": seconds}
    cells = [[name, f"{value:.2f}"] for name, value in seconds.items()]
    report("featurise", f"{options.molecules:,} molecules", ["", "s"], cells, result)


if __name__ == "__main__":
    main()
