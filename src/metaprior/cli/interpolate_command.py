"""`metaprior interpolate`: a film from one prompt to another."""

from collections.abc import Sequence

from metaprior.cli.arguments import Parser
from metaprior.cli.choices import to_device
from metaprior.cli.display import console
from metaprior.files import check_writable

__all__ = ["run"]


def run(words: Sequence[str]) -> None:
    """Write a film of the fields that lie between two prompts."""
    from metaprior.fields.generate import ZOO, said, with_source
    from metaprior.fields.interpolate import film_between
    from metaprior.fields.writers import check_kind, write_film

    parser = Parser("interpolate", "Write a film of the fields that lie between two prompts.")
    options = parser.options
    options.add_argument("first", help="where the film begins, such as 'a red torus'")
    options.add_argument("second", help="where it ends")
    options.add_argument(
        "--prior", type=str, default=ZOO, help="a run folder, a checkpoint or zoo:NAME of 'hyperfields'"
    )
    options.add_argument("--out", type=str, default="between.mp4", help="the film: .mp4 or .gif")
    options.add_argument("--device", default="cpu", help="where to compute the fields: cpu, cuda, cuda:1")
    options.add_argument("--rate", type=int, default=16, help="frames a second")
    options.add_function_arguments(film_between, skip={"prior", "first", "second"}, fail_untyped=False)
    parsed = parser.parse(words)
    check_kind(parsed.out, "film")
    check_writable(parsed.out)
    prior, source = with_source(parsed.prior)
    to_device(prior, parsed.device)
    asked = {name: parsed[name] for name in ("frames", "size", "through", "turn", "samples")}
    film = film_between(prior, said(parsed.first, source), said(parsed.second, source), **asked)
    write_film(parsed.out, film, parsed.rate)
    console.print(f"{parsed.out}: a film of {len(film)} frames of {parsed.size} x {parsed.size} pixels")
