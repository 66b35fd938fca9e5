"""`metaprior render`: a picture, a film or a mesh of a field."""

from collections.abc import Sequence

from metaprior.cli.arguments import Parser
from metaprior.cli.display import console
from metaprior.files import check_writable

__all__ = ["run"]


def run(words: Sequence[str]) -> None:
    """Write what a field looks like; the ending of the file says what is written."""
    from metaprior.fields.export import check_background, export
    from metaprior.fields.network import load_field
    from metaprior.fields.writers import kind_of

    parser = Parser("render", "Write a picture (.png), a turntable (.mp4, .gif) or a mesh (.glb, .ply) of a field.")
    parser.options.add_argument("run", help="a folder that 'metaprior fit' wrote, or a field file")
    parser.options.add_function_arguments(export, skip={"field", "weights"}, fail_untyped=False)
    parsed = parser.parse(words)
    check_background(kind_of(parsed.out), parsed.background)
    network, _ = load_field(parsed.run)
    check_writable(parsed.out)
    weights = {name: value.detach() for name, value in network.weights.items()}
    options = {key: value for key, value in vars(parsed).items() if key not in {"config", "threads", "run"}}
    console.print(export(network.field, weights, **options))
