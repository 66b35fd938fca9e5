"""`metaprior acquire`: a prior from many related tasks, once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from torch import nn

from metaprior.acquire import acquire
from metaprior.checkpoint import load, read_card
from metaprior.cli.arguments import Parser
from metaprior.cli.choices import NET, PRIOR, TASKS, to_device
from metaprior.cli.display import console, progress_bar
from metaprior.errors import MetapriorError
from metaprior.files import write_text
from metaprior.nets import net_for
from metaprior.prior import Prior
from metaprior.registry import priors
from metaprior.tasks.episode import TaskSpec
from metaprior.tasks.streams import Streams, StreamSource

__all__ = ["run"]

_BEFORE = ("tasks", "stream", "data_hash", "seed", "step", "seconds", "start")
"""What a card says of the run that a run went on from."""


def run(words: Sequence[str]) -> None:
    """Acquire a prior, show how it goes, and save it with everything that is needed to repeat the run."""
    parser = Parser("acquire", "Acquire a prior from many related tasks.", (PRIOR, TASKS, NET), required=("tasks",))
    parser.options.add_function_arguments(acquire, skip={"prior", "source", "report", "facts"}, fail_untyped=False)
    parser.options.add_argument("--device", default="cpu", help="where to compute: cpu, cuda, cuda:1, mps")
    parser.options.add_argument(
        "--delay", type=int | None, default=None, help="acquire on streams whose labels arrive so many steps late"
    )
    parser.options.add_argument("--latest", type=int | None, default=None, help="draw delays, up to this one")
    parser.options.add_argument(
        "--never", type=float | None, default=None, help="the share of labels that never arrive"
    )
    parser.options.add_argument("--length", type=int | None, default=None, help="steps of a stream; None for all")
    parser.options.add_argument(
        "--start",
        type=str | None,
        default=None,
        help="a run, checkpoint or zoo:NAME to go on from; with --prior, only its network is taken",
    )
    parsed = parser.parse(words)
    source = parser.build(parsed, "tasks")
    if parsed.start is not None:
        known = read_card(parsed.start).get("inputs") or {}
        source = source if parser.named(words, "tasks.featuriser") else source.as_acquired(known)
        if wrong := source.mismatch(known):
            raise MetapriorError(f"--tasks.{wrong}")
    of_streams = {"steps": parsed.length, "latest": parsed.latest, "never": parsed.never}
    given = {name: value for name, value in of_streams.items() if value is not None}
    if given and parsed.delay is None:
        name = next(iter(given)).replace("steps", "length")
        raise MetapriorError(f"--{name}: it is one of streams, which --delay asks for, and --delay was not given")
    if parsed.delay is not None:
        source = Streams(source, parsed.delay, **given)
    prior, facts = _prior(parser, parsed, source.spec)
    prior = to_device(prior, parsed.device)
    apart = {"config", "device", "threads", "delay", "latest", "never", "length", "start", *parser.choices}
    options = {key: parsed[key] for key in vars(parsed) if key not in apart}
    if parsed.out is not None:
        write_text(Path(parsed.out) / "config.yaml", parser.resolved(parsed))
    with progress_bar(source.spec.kind) as update:
        name = parser.names.get("prior") or str(priors.name_of(type(prior)))
        acquired = acquire(prior, source, report=lambda line: update(name, line), facts=facts, **options)
    if acquired.interrupted:
        console.print("Stopped early; what was acquired so far is usable, and --resume goes on from it.")
    if parsed.out is not None:
        card = read_card(parsed.out)
        console.print(f"{parsed.out}: prior.safetensors, log.csv, config.yaml (data {card['data_hash']})")
        console.print(f"Next: metaprior {'stream' if isinstance(source, StreamSource) else 'evaluate'} {parsed.out}")


def _prior(parser: Parser, parsed: Namespace, spec: TaskSpec) -> tuple[Prior, dict[str, Any]]:
    """Return a new prior, or that of the run to go on from, and what the card should say of that."""
    facts: dict[str, Any] = {}
    begun = None
    if parsed.start is not None:
        if "net" in parser.names:
            raise MetapriorError(f"--start: {parsed.start} has a network; expected no --net")
        card, begun = read_card(parsed.start), load(parsed.start)
        facts = {"start": {key: card[key] for key in _BEFORE if key in card}}
        if "prior" not in parser.names:
            return begun, facts
    parser.demand("prior")
    cls = PRIOR.registry[parser.names["prior"]]
    net = None if begun is None else _network(begun, cls, parsed.start)
    if "net" in parser.names:
        net = net_for(
            parser.names["net"], spec, cls.headless, parsed.seed, cls.batch_norm, **parser.given(parsed, "net")
        )
    return cls.for_tasks(spec, net=net, seed=parsed.seed, **parser.given(parsed, "prior")), facts


def _network(begun: Prior, cls: type[Prior], start: str) -> nn.Module:
    """Return the network of a prior for one of another class, which must want the same of it."""
    # Where a prior keeps an average of its weights, that is what it uses itself.
    net = getattr(begun, "average", getattr(begun, "net", None))
    if not isinstance(net, nn.Module):
        raise MetapriorError(f"--start: {start} holds {type(begun).__name__}, which has no network of its own to take")
    if cls.headless != begun.headless:
        ends = {True: "features", False: "outputs"}
        raise MetapriorError(
            f"--start: the network of {start} ends with {ends[begun.headless]}; that of a {cls.__name__} with "
            f"{ends[cls.headless]}"
        )
    return net.requires_grad_(True)
