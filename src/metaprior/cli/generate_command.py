"""`metaprior generate`: from a sentence to a mesh, a picture or a film."""

from collections.abc import Sequence

from metaprior.cli.arguments import Parser
from metaprior.cli.display import console

__all__ = ["run"]


def run(words: Sequence[str]) -> None:
    """Write the field that a prior makes of a prompt, and whatever else is asked of it."""
    from metaprior.fields.export import export
    from metaprior.fields.generate import generate

    parser = Parser("generate", "Make a mesh, a picture or a film of what a prompt says.")
    options = parser.options
    options.add_argument("prompt", help="what to make, such as 'a red torus'")
    options.add_argument(
        "--prior", type=str, required=True, help="a run folder or checkpoint of the prior 'hyperfields'"
    )
    options.add_argument("--turntable", type=str | None, default=None, help="also a film once around: .mp4 or .gif")
    options.add_function_arguments(export, skip={"field", "weights"}, fail_untyped=False)
    parsed = parser.parse(words)
    skipped = {"config", "threads", "prompt", "prior", "turntable", "out"}
    asked = {key: value for key, value in vars(parsed).items() if key not in skipped}
    field, weights = generate(parsed.prompt, parsed.prior)
    for file in (parsed.out, parsed.turntable):
        if file is not None:
            console.print(export(field, weights, file, **asked))
