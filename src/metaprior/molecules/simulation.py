"""What a simulated screen found: for each strategy and round, how many hits, as a table, as numbers and as a picture.

Axis letters: M molecules of the library.
"""

import csv
import io
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metaprior.errors import missing
from metaprior.files import replacing, write_text

__all__ = ["Simulation"]


@dataclass(frozen=True)
class Simulation:
    """How a prior, and controls beside it, found the hits of a table.

    Args:
        rows: for each strategy, repeat and round: how many were measured, hits found, and the best value.
        hits: how many there are.
        library: M.
    """

    rows: list[dict[str, Any]]
    hits: int
    library: int

    def curves(self) -> dict[str, tuple[list[int], np.ndarray]]:
        """Return for each strategy how many were measured up to each round, and hits found `(repeats, rounds)`."""
        found: dict[str, dict[int, list[dict[str, Any]]]] = {}
        for row in self.rows:
            found.setdefault(row["strategy"], {}).setdefault(row["repeat"], []).append(row)
        return {
            name: (
                [row["measured"] for row in next(iter(each.values()))],
                np.array([[row["hits"] for row in rows] for rows in each.values()]),
            )
            for name, each in found.items()
        }

    def __str__(self) -> str:
        ends = {name: (measured[-1], hits[:, -1].mean()) for name, (measured, hits) in self.curves().items()}
        measured = next(iter(ends.values()))[0]
        told = ", ".join(f"{name} {count:.1f}" for name, (_, count) in ends.items())
        return f"of {self.hits} hits among {self.library}, after {measured} measurements: {told}"

    def write(self, folder: Path, facts: dict[str, Any]) -> None:
        """Write `screen.csv`, `result.json`, with the facts given beside the curves, and `screen.png`."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(row | {"best": f"{row['best']:.6g}"} for row in self.rows)
        write_text(folder / "screen.csv", text.getvalue())
        curves = {
            name: {"measured": measured, "hits": hits.mean(0).tolist(), "interval_95": _interval(hits).tolist()}
            for name, (measured, hits) in self.curves().items()
        }
        found = {"hits": self.hits, "library": self.library, **facts, "curves": curves}
        write_text(folder / "result.json", json.dumps(found, indent=1) + "\n")
        with replacing(folder / "screen.png") as temporary:
            _plot(self, temporary)


def _interval(hits: np.ndarray) -> np.ndarray:
    """Return half the width of the 95 % interval of the mean over repeats."""
    if len(hits) < 2:
        return np.zeros(hits.shape[1])
    return 1.96 * hits.std(0, ddof=1) / math.sqrt(len(hits))


def _plot(result: Simulation, path: Path) -> None:
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError as error:
        raise missing("matplotlib", "vision", "plotting a screen") from error
    figure = Figure(figsize=(5, 3.5), layout="constrained")
    axes = figure.subplots()
    for name, (measured, hits) in result.curves().items():
        mean, spread = hits.mean(0), _interval(hits)
        axes.plot(measured, mean, label=name, marker="o", markersize=3)
        # There are no fewer hits than none, and no more than all.
        low, high = ((mean + sign * spread).clip(0, result.hits) for sign in (-1, 1))
        axes.fill_between(measured, low, high, alpha=0.2)
    axes.set(xlabel="measured", ylabel=f"hits found, of {result.hits} among {result.library}")
    axes.set_title(f"mean and 95 % interval of {len(hits)} repeats", fontsize="small")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
