"""A comparison as files: a Markdown table, JSON, a picture of two curves, and one self-contained page."""

import base64
import html
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

from metaprior.errors import missing
from metaprior.files import write_bytes, write_text
from metaprior.tasks.scores import metric_of

if TYPE_CHECKING:
    from metaprior.compare import Comparison, Entry

__all__ = ["check_plots", "columns", "draw_curves", "markdown", "page", "rows", "write_report"]

columns = ("prior", "test score", "margin", "transd.", "params", "state", "acquire", "adapt")
"""The columns of the table."""

_HELP = {
    "prior": "† marks a control",
    "test score": "mean over the test tasks and its 95 % interval: accuracy, mean squared error for regression, "
    "intersection over union for segmentation",
    "margin": "how much better than the best control, task by task, with its 95 % interval",
    "transd.": "transductive: whether predictions could depend on the other queries of a task",
    "params": "numbers carried from task to task",
    "state": "size of the belief about one task",
    "acquire": "seconds of acquisition on this machine",
    "adapt": "time to adapt to one task and predict its queries",
}


def check_plots() -> None:
    """Raise the error that names the extra to install, if plots cannot be drawn."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise missing("matplotlib", "vision", "drawing the curves of a comparison") from error


def rows(comparison: "Comparison") -> list[tuple[str, ...]]:
    """Return the cells of the table, best prior first."""
    return [_row(comparison, entry) for entry in comparison.entries]


def _row(comparison: "Comparison", entry: "Entry") -> tuple[str, ...]:
    evaluation, margin = entry.evaluation, comparison.margin(entry)
    percent = 100 if metric_of(evaluation.metric).share else 1
    return (
        entry.name + ("†" if entry.control else ""),
        str(evaluation),
        "" if margin is None else f"{percent * margin[0]:+.3g} ± {percent * margin[1]:.2g}",
        "yes" if evaluation.transductive else "no",
        f"{evaluation.parameters:,}",
        _size(evaluation.state_bytes),
        f"{entry.acquire_seconds:.0f} s",
        f"{1000 * evaluation.adapt_seconds:.3g} ms",
    )


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def markdown(comparison: "Comparison") -> str:
    """Return the table, the verdict and the settings as Markdown."""
    lines = [" | ".join(columns), " | ".join("---" for _ in columns)]
    lines += [" | ".join(row) for row in rows(comparison)]
    table = "\n".join(f"| {line} |" for line in lines)
    notes = "\n".join(f"- **{name}**: {text}" for name, text in _HELP.items())
    return f"{table}\n\n{comparison.verdict()}\n\n{notes}\n\n{_tasks_line(comparison)}\n"


def _tasks_line(comparison: "Comparison") -> str:
    settings = comparison.settings
    return (
        f"{settings['episodes']} test tasks, the same for all (hash {settings['test_hash']}); "
        f"{settings['budget_seconds']:g} s of acquisition each; seed {settings['seed']}; data {settings['data_hash']}."
    )


def _by_shots(comparison: "Comparison") -> bool:
    return any(len(entry.by_shots) > 1 for entry in comparison.entries)


def draw_curves(comparison: "Comparison") -> bytes:
    """Return a PNG of score against seconds of acquisition and, where it was measured, score against shots."""
    from matplotlib.figure import Figure

    metric = metric_of(comparison.entries[0].evaluation.metric)
    by_shots = _by_shots(comparison)
    figure = Figure(figsize=(11 if by_shots else 6, 4.2), layout="constrained")
    axes = figure.subplots(1, 2 if by_shots else 1, squeeze=False)[0]
    colours = [f"C{index}" for index in range(10)]
    for index, entry in enumerate(sorted(comparison.entries, key=lambda entry: (entry.control, entry.name))):
        style = {"color": colours[index % 10], "linestyle": "--" if entry.control else "-", "label": entry.name}
        line = [(point.seconds, point.validation) for point in entry.log if point.validation is not None]
        if len(line) == 1:
            axes[0].axhline(line[0][1], **style)
        else:
            axes[0].plot([seconds for seconds, _ in line], [score for _, score in line], **style)
        if by_shots and entry.by_shots:
            counts, means = list(entry.by_shots), [evaluation.mean for evaluation in entry.by_shots.values()]
            margins = [evaluation.interval for evaluation in entry.by_shots.values()]
            axes[1].errorbar(counts, means, margins, marker="o", markersize=4, capsize=3, **style)
    for axis, label in zip(axes, ("seconds of acquisition", "shots"), strict=False):
        axis.set_xlabel(label)
        axis.set_ylabel(metric.title)
        axis.grid(alpha=0.3)
        if metric.share:
            axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        else:
            axis.set_yscale("log")
    axes[0].set_title("validation tasks, while acquiring")
    if by_shots:
        axes[1].set_title("test tasks, never seen, by number of shots")
        axes[1].set_xscale("log", base=2)
        ticks = sorted({count for entry in comparison.entries for count in entry.by_shots})
        axes[1].set_xticks(ticks, [str(count) for count in ticks])
    figure.legend(*axes[-1].get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>metaprior: a comparison</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .35rem .6rem; border-bottom: 1px solid #ddd; text-align: right; }}
th:first-child, td:first-child {{ text-align: left; }}
tr.control td {{ color: #777; }}
img {{ max-width: 100%; }}
dt {{ font-weight: 600; }} pre {{ background: #f6f6f6; padding: 1rem; overflow-x: auto; }}
</style></head><body>
<h1>Priors compared on {title}</h1>
<p><strong>{verdict}</strong></p>
<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>
<p>{tasks}</p>
<img alt="{picture_text}" src="data:image/png;base64,{picture}">
<h2>What the columns mean</h2><dl>{notes}</dl>
<h2>Settings</h2><pre>{settings}</pre>
</body></html>
"""


def page(comparison: "Comparison", picture: bytes) -> str:
    """Return a page that needs nothing beside it: table, verdict, curves and settings."""
    escape = html.escape
    tasks = comparison.settings["tasks"]
    cells = zip(comparison.entries, rows(comparison), strict=True)
    return _PAGE.format(
        title=escape(tasks["source"] if isinstance(tasks, dict) else str(tasks)),
        verdict=escape(comparison.verdict()),
        head="".join(f"<th>{escape(name)}</th>" for name in columns),
        body="".join(
            f"<tr{' class=control' if entry.control else ''}>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>"
            for entry, row in cells
        ),
        tasks=escape(_tasks_line(comparison)),
        picture_text="curves of the score against seconds of acquisition"
        + (", and against shots" * _by_shots(comparison)),
        picture=base64.b64encode(picture).decode(),
        notes="".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in _HELP.items()),
        settings=escape(json.dumps(comparison.settings, indent=2)),
    )


def write_report(comparison: "Comparison", folder: Path) -> None:
    """Write `table.md`, `result.json`, `curves.png` and `report.html` into a folder."""
    picture = draw_curves(comparison)
    write_text(folder / "table.md", markdown(comparison))
    write_text(folder / "result.json", json.dumps(comparison.result(), indent=2) + "\n")
    write_bytes(folder / "curves.png", picture)
    write_text(folder / "report.html", page(comparison, picture))
