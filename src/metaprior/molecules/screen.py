"""Screening a library in a closed loop, from files and to files: simulated from a table, or with a laboratory.

Axis letters: M molecules of the library.
"""

import inspect
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from metaprior.checkpoint import load, read_card
from metaprior.errors import DataError, UnknownNameError, check_positive
from metaprior.files import check_writable, write_text
from metaprior.molecules.featurise import featurise
from metaprior.molecules.featurisers import featuriser_of
from metaprior.molecules.formats import file_encoding
from metaprior.molecules.own_rows import EncodedRows, agree
from metaprior.molecules.screen_files import Given, Shelf
from metaprior.molecules.screening import (
    ACQUISITIONS,
    Belief,
    Screened,
    Surrogate,
    choose,
    simulate,
    surrogate_of_estimator,
    surrogate_of_prior,
)
from metaprior.molecules.simulation import Simulation
from metaprior.prior import Prior
from metaprior.tasks.columns import pandas, without_words
from metaprior.tasks.rows import kept_names, read_table

__all__ = ["Batch", "screen"]

_CONTROLS: tuple[Literal["random", "gp"], ...] = ("random", "gp")
_NUMBER = re.compile(r"round-(\d+)\.csv")


@dataclass(frozen=True)
class Batch:
    """What to measure next.

    Args:
        file: where it was written.
        size: how many there are.
        measured: how many labels it was chosen by.
    """

    file: Path
    size: int
    measured: int


def screen(
    prior: str | Path,
    library: str | Path,
    target: str,
    out: str | Path,
    *,
    acquisition: str = "expected_improvement",
    batch: int = 20,
    rounds: int = 10,
    first: int | None = None,
    minimise: bool | None = None,
    hits: float = 0.02,
    repeats: int = 5,
    controls: Sequence[Literal["random", "gp"]] = _CONTROLS,
    measured: str | Path | None = None,
    smiles: str | None = None,
    sequence: str | None = None,
    about: str | None = None,
    seed: int = 0,
    skip_bad: bool = False,
    report: Callable[[str], None] | None = None,
) -> Simulation | Batch:
    """Choose what to measure next, round by round, by what a prior believes after what was measured.

    If the library has a column of the target, the assay is simulated: all its values are hidden but those that were
    chosen, and the controls run beside it. `out` is given `screen.csv`, `screen.png`, `picks.csv` and `result.json`.

    Else the next batch to measure is written to `out` as `round-1.csv` with an empty column of the target. Fill it in
    and give the same command again: what is filled in is taken into account, and `round-2.csv` is written; and so on.
    The first batch is drawn at random, unless there are measurements, or the prior predicts without any.

    Args:
        prior: a run folder, a checkpoint file, or zoo:NAME, for molecules or sequences.
        library: a CSV, SDF or FASTA of what could be measured.
        target: the column of what is measured.
        out: a folder for what is written.
        acquisition: expected_improvement, upper_confidence, thompson, greedy or random.
        batch: how many are measured in a round.
        rounds: of a simulation.
        first: how many a simulation draws at random before the first round; None for as many as a batch.
        minimise: look for low values instead of high ones; None for whichever the tasks of acquisition took for better,
            as low affinities in nM are, and for high ones where they took neither.
        hits: the share of the library with the best values that a simulation is after.
        repeats: of a simulation, each with another beginning.
        controls: of a simulation: "random", and "gp", a Gaussian process on fingerprints (for sequences, on words of
            three letters) with the same acquisition.
        measured: a file with the target of what was measured before; None for nothing.
        smiles: the column of SMILES; None to find it.
        sequence: the column of sequences; None to find it.
        about: what the task is about, for a prior that is told so; None to read it from a column.
        seed: of whatever is drawn.
        skip_bad: leave out bad rows, with a warning, instead of stopping at the first.
        report: called with a line after each repeat of a simulation.

    Raises:
        DataError: if a file cannot be used, or a batch still waits for its labels.
    """
    check_positive(DataError, batch=batch, rounds=rounds, repeats=repeats, hits=hits, first=first)
    check_writable(Path(out) / "picks.csv")
    if acquisition not in ACQUISITIONS:
        raise UnknownNameError("acquisition", acquisition, ACQUISITIONS)
    if hits >= 1:
        raise DataError(f"hits: expected a share of the library, less than 1; got {hits}")
    for name in controls:
        if name not in _CONTROLS:
            raise UnknownNameError("control", name, _CONTROLS)
    opened, inputs = _opened(prior)
    low = (inputs.get("target") or {}).get("scale", 1) < 0 if minimise is None else minimise
    if minimise is None and low:
        warnings.warn(
            f"minimise: low values of '{target}' are looked for, which were better where the prior was acquired; false "
            "looks for high ones",
            stacklevel=2,
        )
    given = Given(inputs, smiles if inputs["kind"] == "molecules" else sequence, target, low, skip_bad, about)
    shelf = given.read(library, "library", labelled=False)
    folder = Path(out)
    surrogate = surrogate_of_prior(opened, shelf.about, given.fixed)
    filled = without_words(shelf.frame[target]).notna() if target in shelf.frame.columns else None
    if filled is None or not filled.any():
        simulated = {"rounds": rounds, "first": first, "hits": hits, "repeats": repeats, "controls": tuple(controls)}
        defaults = inspect.signature(screen).parameters
        if idle := [name for name, value in simulated.items() if value != defaults[name].default]:
            warnings.warn(
                f"{', '.join(idle)}: of simulations alone; {library} has no '{target}', so the next batch is chosen",
                stacklevel=2,
            )
        return _next(surrogate, given, shelf, folder, measured, acquisition, batch, seed)
    if measured is not None:
        raise DataError(f"measured: {library} has the column '{target}', so that the assay is simulated from it")
    if not filled.all():
        warnings.warn(
            f"library: {int((~filled).sum())} of {len(filled)} rows have no '{target}', and no part in the simulation; "
            "to choose what to measure next, leave the column out and give the labelled rows as `measured`",
            stacklevel=2,
        )
    return _simulated(
        surrogate, given, library, folder, acquisition, batch, rounds, first, hits, repeats, controls, seed, report
    )


def _opened(prior: str | Path) -> tuple[Prior, Mapping[str, Any]]:
    inputs = read_card(prior).get("inputs") or {}
    if inputs.get("kind") not in ("molecules", "sequences"):
        raise DataError(f"prior: {prior} was acquired on other inputs than molecules or sequences")
    agree(inputs)
    found = load(prior)
    if "regression" not in found.kinds:
        raise DataError(f"prior: {type(found).__name__} predicts no values, which a screen is by")
    return found, inputs


def _next(
    surrogate: Surrogate,
    given: Given,
    shelf: Shelf,
    folder: Path,
    measured: str | Path | None,
    acquisition: str,
    batch: int,
    seed: int,
) -> Batch:
    """Write the next batch to measure."""
    files = _round_files(folder)
    for file in files:
        filled = read_table(file, "out", file_encoding(file, "out")).get(given.target, pandas().Series(dtype=object))
        if without_words(filled).notna().sum() == 0:
            raise DataError(
                f"out: {file} waits for its labels: fill in its column '{given.target}', and give the command again"
            )
    shelves = [given.read(file, "measured", labelled=True) for file in ([] if measured is None else [measured])]
    shelves += [given.read(file, "out", labelled=True) for file in files]
    open_ = torch.ones(len(shelf.written), dtype=torch.bool)
    known = {text for one in shelves for text in one.written}
    for file in files:  # what was not measured after all is not asked for again
        known |= set(given.read(file, "out", labelled=False).written)
    for at, text in enumerate(shelf.written):  # what the library has twice is measured once
        open_[at] = text not in known
        known.add(text)
    if not bool(open_.any()):
        raise DataError("library: everything in it is measured")
    values = torch.cat([torch.empty(0).double(), *(one.values for one in shelves)])
    generator = torch.Generator().manual_seed(seed + len(files))
    parts = [part for one in shelves for part in one.rows.split(2000)]
    x = torch.cat(parts, dim=1) if parts else next(shelf.rows.split(1))[:, :0]
    blind = len(values) == 0 and given.fixed is None
    belief = surrogate(x, values, shelf.rows) if not blind else _unknown(len(shelf.written))
    best = values.max().item() if len(values) else belief.mean.mean().item()
    picks = choose("random" if blind else acquisition, belief, open_, best, batch, generator)
    chosen = shelf.frame.iloc[picks.numpy()].drop(columns=[given.target], errors="ignore").copy()
    added = [] if blind else ["predicted", "uncertainty"]
    chosen.columns = kept_names(list(chosen.columns), added, "library")
    if not blind:
        chosen["predicted"] = [f"{value:.6g}" for value in given.back(belief.mean[picks].numpy())]
        chosen["uncertainty"] = [f"{value:.6g}" for value in belief.deviation[picks].tolist()]
    chosen[given.target] = ""
    file = folder / f"round-{len(files) + 1}.csv"
    write_text(file, chosen.to_csv(index=False))
    return Batch(file, len(picks), len(values))


def _round_files(folder: Path) -> list[Path]:
    """Return the batches of a folder in their order."""
    numbered = {int(found[1]): file for file in folder.glob("round-*.csv") if (found := _NUMBER.fullmatch(file.name))}
    return [numbered[number] for number in sorted(numbered)]


def _unknown(size: int) -> Belief:
    return Belief(torch.zeros(size).double(), torch.ones(size).double())


def _simulated(
    surrogate: Surrogate,
    given: Given,
    library: str | Path,
    folder: Path,
    acquisition: str,
    batch: int,
    rounds: int,
    first: int | None,
    share: float,
    repeats: int,
    controls: Sequence[str],
    seed: int,
    report: Callable[[str], None] | None,
) -> Simulation:
    shelf = given.read(library, "library", labelled=True)
    values, total = shelf.values, len(shelf.written)
    first = batch if first is None else first
    if first + batch > total:
        raise DataError(f"library: has {total} with a value of '{given.target}'; expected more than {first + batch}")
    wanted = max(1, round(share * total))
    sought = torch.zeros(total, dtype=torch.bool)
    sought[values.topk(wanted).indices] = True
    words = "morgan" if given.inputs["kind"] == "molecules" else "kmers"
    plain = featuriser_of(words)
    prints = EncodedRows(featurise(shelf.written, words, "keep", lenient=True).rows, plain, None)
    strategies: dict[str, tuple[Surrogate | None, EncodedRows, str]] = {"prior": (surrogate, shelf.rows, acquisition)}
    if "gp" in controls:
        from metaprior.molecules.controls import control

        strategies["gp"] = (surrogate_of_estimator(control("tanimoto_gp", "regression")), prints, acquisition)
    if "random" in controls:
        strategies["random"] = (None, shelf.rows, "random")
    rows: list[dict[str, Any]] = []
    picks: Screened | None = None
    for repeat in range(repeats):
        start = torch.randperm(total, generator=torch.Generator().manual_seed(seed + repeat))[:first]
        for name, (believed, inputs, how) in strategies.items():
            generator = torch.Generator().manual_seed(1000 + seed + repeat)
            found = simulate(believed, inputs, values, sought, start, how, rounds, batch, generator)
            picks = found if picks is None else picks
            best = given.back(np.array(found.best))
            for at, (count, hit) in enumerate(zip(found.measured, found.hits, strict=True)):
                row = {"strategy": name, "repeat": repeat, "round": at, "measured": count, "hits": hit}
                rows.append(row | {"best": float(best[at])})
        if report is not None:
            report(f"{repeat + 1} of {repeats}: {Simulation(rows, wanted, total)}")
    assert picks is not None
    result = Simulation(rows, wanted, total)
    order = torch.cat(list(picks.picks)).numpy()
    chosen = shelf.frame.iloc[order].copy()
    chosen.insert(0, "round", np.repeat(np.arange(len(picks.picks)), [len(part) for part in picks.picks]))
    write_text(folder / "picks.csv", chosen.to_csv(index=False))
    result.write(folder, {"target": given.target, "acquisition": acquisition, "batch": batch, "seed": seed})
    return result
