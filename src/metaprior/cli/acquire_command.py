"""`metaprior acquire`: a prior from many related tasks, once."""

from collections.abc import Sequence
from pathlib import Path

from metaprior.acquire import acquire
from metaprior.checkpoint import read_card
from metaprior.cli.arguments import Parser
from metaprior.cli.choices import NET, PRIOR, TASKS, to_device
from metaprior.cli.display import console, progress_bar
from metaprior.errors import MetapriorError
from metaprior.files import write_text
from metaprior.nets import net_for
from metaprior.tasks.streams import Streams

__all__ = ["run"]


def run(words: Sequence[str]) -> None:
    """Acquire a prior, show how it goes, and save it with everything that is needed to repeat the run."""
    parser = Parser(
        "acquire", "Acquire a prior from many related tasks.", (PRIOR, TASKS, NET), required=("prior", "tasks")
    )
    parser.options.add_function_arguments(acquire, skip={"prior", "source", "report", "facts"}, fail_untyped=False)
    parser.options.add_argument("--device", default="cpu", help="where to compute: cpu, cuda, cuda:1, mps")
    parser.options.add_argument(
        "--delay", type=int | None, default=None, help="acquire on streams whose labels arrive so many steps late"
    )
    parser.options.add_argument("--length", type=int | None, default=None, help="steps of a stream; None for all")
    parsed = parser.parse(words)
    source = parser.build(parsed, "tasks")
    if parsed.length is not None and parsed.delay is None:
        raise MetapriorError("--length: it is that of streams, which --delay asks for, and --delay was not given")
    if parsed.delay is not None:
        source = Streams(source, parsed.delay, parsed.length)
    cls = PRIOR.registry[parser.names["prior"]]
    net = None
    if "net" in parser.names:
        net = net_for(
            parser.names["net"], source.spec, cls.headless, parsed.seed, cls.batch_norm, **parser.given(parsed, "net")
        )
    prior = to_device(
        cls.for_tasks(source.spec, net=net, seed=parsed.seed, **parser.given(parsed, "prior")), parsed.device
    )
    apart = {"config", "device", "threads", "delay", "length", *parser.choices}
    options = {key: parsed[key] for key in vars(parsed) if key not in apart}
    if parsed.out is not None:
        write_text(Path(parsed.out) / "config.yaml", parser.resolved(parsed))
    with progress_bar(source.spec.kind) as update:
        acquired = acquire(prior, source, report=lambda line: update(parser.names["prior"], line), **options)
    if acquired.interrupted:
        console.print("Stopped early; what was acquired so far is usable, and --resume goes on from it.")
    if parsed.out is not None:
        card = read_card(parsed.out)
        console.print(f"{parsed.out}: prior.safetensors, log.csv, config.yaml (data {card['data_hash']})")
        console.print(f"Next: metaprior evaluate {parsed.out}")
