"""`metaprior generate`: from a sentence to a mesh, a picture or a film."""

from collections.abc import Sequence

from metaprior.cli.arguments import Parser
from metaprior.cli.display import console, progress_bar
from metaprior.errors import MetapriorError, check_positive
from metaprior.files import check_writable

__all__ = ["run"]

_REFINING = ("views", "guidance", "changes", "steps")


def run(words: Sequence[str]) -> None:
    """Write the field that a prior makes of a prompt, and whatever else is asked of it."""
    from metaprior.fields.export import export
    from metaprior.fields.generate import ZOO, generate, said, with_source
    from metaprior.fields.guidance import Diffusion
    from metaprior.fields.open import open_scene
    from metaprior.fields.refine import refine
    from metaprior.fields.writers import check_kind

    parser = Parser("generate", "Make a mesh, a picture or a film of what a prompt says.")
    options = parser.options
    options.add_argument("prompt", help="what to make, such as 'a red torus'")
    options.add_argument(
        "--prior", type=str, default=ZOO, help="a run folder, a checkpoint or zoo:NAME of 'hyperfields'"
    )
    options.add_argument("--turntable", type=str | None, default=None, help="also a film once around: .mp4 or .gif")
    options.add_argument(
        "--views", type=str | None, default=None, help="posed pictures, a mesh or a scene to adapt the field to first"
    )
    options.add_argument(
        "--guidance",
        type=str | None,
        default=None,
        help="a Stable Diffusion by name or folder to adapt it by; for GPUs",
    )
    options.add_function_arguments(
        refine,
        skip={"prior", "prompt", "views", "guidance", "rays", "samples", "learning_rate", "seed", "report", "watch"},
        fail_untyped=False,
    )
    options.add_function_arguments(export, skip={"field", "weights"}, fail_untyped=False)
    # Quick rather than large: what is made of a prompt is smooth, and a film has many pictures.
    options.set_defaults({"size": 128, "frames": 24, "rate": 12, "samples": 48})
    defaults = options.get_defaults()
    parsed = parser.parse(words)
    for argument, kind in (("out", None), ("turntable", "film")):
        if (file := parsed[argument]) is not None:
            check_kind(file, kind)
            check_writable(file, argument)
    if parsed.views is None and parsed.guidance is None:
        for name in ("changes", "steps"):
            if parsed[name] != defaults[name]:
                raise MetapriorError(
                    f"{name}: expected --views or --guidance beside it, to adapt the field to; got neither"
                )
    skipped = {"config", "threads", "prompt", "prior", "turntable", "out", *_REFINING}
    asked = {key: value for key, value in vars(parsed).items() if key not in skipped}
    check_positive(**{key: asked[key] for key in ("size", "samples", "cells", "frames", "rate")})
    if parsed.views is None and parsed.guidance is None:
        field, weights = generate(parsed.prompt, parsed.prior)
    else:
        prior, source = with_source(parsed.prior)
        views = None if parsed.views is None else open_scene(parsed.views)[0]
        guidance = None if parsed.guidance is None else Diffusion.load(parsed.guidance)
        with progress_bar("mse") as update:
            weights = refine(
                prior,
                said(parsed.prompt, source),
                views,
                guidance=guidance,
                changes=parsed.changes,
                steps=parsed.steps,
                report=lambda line: update("adapting", line),
            )
        field = prior.net.field
    for file in (parsed.out, parsed.turntable):
        if file is not None:
            console.print(export(field, weights, file, **asked))
