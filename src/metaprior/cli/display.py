"""What the terminal shows while a command works, and the tables that it ends with."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from metaprior.acquire import Progress as Line
from metaprior.tasks.scores import metric_of

__all__ = ["console", "progress_bar", "table"]

console = Console()


@contextlib.contextmanager
def progress_bar(metric: str) -> Iterator[Callable[[str, Line | None], None]]:
    """Show a bar for each prior: time left, loss, and the last validation score.

    Args:
        metric: the name of that of the validation score, or the kind of the tasks.

    Yields:
        A function of a prior's name and its progress, None while it is being scored.
    """
    shown: dict[str, TaskID] = {}
    scores: dict[str, str] = {}
    layout = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*layout, console=console) as bars:

        def update(name: str, line: Line | None) -> None:
            if name not in shown:
                shown[name] = bars.add_task(name, total=1.0, note="")
            if line is None:
                bars.update(shown[name], completed=1.0, note=f"{scores.get(name, '')} scoring ...")
                return
            if line.validation is not None:
                scores[name] = f"validation {metric_of(metric).text(line.validation)}"
            note = f"step {line.step}  loss {line.loss:.4g}  {scores.get(name, '')}"
            bars.update(shown[name], completed=line.fraction, note=note)

        yield update
        for name, task in shown.items():
            bars.update(task, note=scores.get(name, ""))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """Print a table: numbers to the right, words to the left."""
    drawn = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    for index, column in enumerate(columns):
        numbers = all(row[index][:1] in "+-0123456789" for row in rows)
        drawn.add_column(column, justify="right" if numbers and index else "left", no_wrap=True)
    for row in rows:
        drawn.add_row(*row)
    # A table that is cut off loses what it is for; a terminal that is too narrow breaks its lines instead.
    natural = console.measure(drawn, options=console.options.update(max_width=10_000)).maximum
    Console(width=natural).print(drawn)
