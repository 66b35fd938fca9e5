"""`metaprior stream`: let a prior learn within streams, and show how it does from step to step."""

from collections.abc import Sequence
from pathlib import Path

from metaprior.checkpoint import load
from metaprior.cli.arguments import Parser
from metaprior.cli.choices import TASKS, own_stream, own_tasks, to_device
from metaprior.cli.display import console, table
from metaprior.errors import MetapriorError, check_positive
from metaprior.files import check_writable
from metaprior.follow import follow
from metaprior.registry import describe, sources
from metaprior.tasks.scores import metric_of
from metaprior.tasks.streams import Streams

__all__ = ["run"]


def run(words: Sequence[str]) -> None:
    """Follow fixed streams with a prior: its score from step to step, and at each presentation of a class."""
    parser = Parser("stream", "Let a prior learn within streams.", (TASKS,))
    options = parser.options
    options.add_argument("run", help="a run folder, a checkpoint file, or zoo:NAME")
    # Those of the run, where it was acquired on streams.
    options.add_argument("--delay", type=int, default=1, help="steps until a label arrives")
    options.add_argument(
        "--latest", type=int | None, default=None, help="draw delays at random, up to this one; null for --delay always"
    )
    options.add_argument("--never", type=float, default=0.0, help="the probability that a label never arrives")
    options.add_argument(
        "--length", type=int | None, default=None, help="steps of a stream; null for the whole support"
    )
    options.add_argument("--streams", type=int, default=100, help="how many streams")
    options.add_argument("--seed", type=int, default=0, help="of the streams")
    options.add_argument("--split", default="test", choices=("train", "valid", "test"), help="which tasks")
    options.add_argument("--window", type=int, default=10, help="steps of the running score")
    options.add_argument("--out", type=str | None, default=None, help="a folder for result.json, tables, and a picture")
    options.add_argument("--device", default="cpu", help="where to compute: cpu, cuda, cuda:1, mps")
    parsed = parser.parse(words, own_tasks(words) | own_stream(words))
    if parsed.out is not None:
        check_writable(Path(parsed.out) / "result.json")
    check_positive(window=parsed.window, length=parsed.length)
    prior = to_device(load(parsed.run), parsed.device)
    source = parser.build(parsed, "tasks")
    if source is None:
        raise MetapriorError(f"--tasks: {parsed.run} does not say its tasks; expected one of {', '.join(sources)}")
    settings = {"delay": parsed.delay, "steps": parsed.length, "latest": parsed.latest, "never": parsed.never}
    streams = Streams(source, **settings)
    log = follow(prior, streams, parsed.streams, parsed.seed, parsed.split)
    metric, shown = metric_of(log.metric), log.by_presentation(most=10)
    if shown:
        rows = [(str(number), metric.text(value)) for number, value in shown.items()]
        table(("presentation", metric.name), rows, title="of a class, over all streams")
    elif metric.name == "iou":
        # The masks of a task are few, and show one thing: each is another presentation of it.
        rows = [(str(step + 1), metric.text(value)) for step, value in enumerate(log.by_step().tolist())]
        table(("step", metric.name), rows)
    if list(shown) == [1] and not log.since_seen():
        console.print(
            "Each class comes once, so that nothing can be learned of it: ask for more, as by --tasks.shots 10"
        )
    result = log.result()
    score = metric.text(result["mean"], digits=2)
    cost = f"{1000 * log.alone_seconds:.3g} ms a step, {log.state_bytes:,} bytes carried"
    followed = "one stream" if result["streams"] == 1 else f"{result['streams']} streams"
    console.print(f"[bold]{score}[/bold] over {result['steps']} steps of {followed}; {cost}")
    if result["average_precision"] is not None:
        precision = f"{100 * result['average_precision']:.2f} %"
        console.print(f"{precision} average precision: known classes told from unknown ones, and named")
    if parsed.out is not None:
        asked = {name: parsed[name] for name in ("run", "seed", "split", "window")}
        log.write(parsed.out, parsed.window, asked | {"tasks": describe(source), "stream": settings})
        console.print(f"{parsed.out}: result.json, steps.csv, curves.csv, stream.png (streams {log.hash})")
