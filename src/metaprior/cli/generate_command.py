"""`metaprior generate`: from a sentence to a mesh, a picture or a film."""

from collections.abc import Sequence
from pathlib import Path

from metaprior.cli.arguments import Parser
from metaprior.cli.choices import to_device
from metaprior.cli.display import console, progress_bar
from metaprior.errors import MetapriorError, check_positive
from metaprior.files import check_writable

__all__ = ["run"]

_POSED, _ADAPTING = ("convention", "skip_bad"), ("changes", "steps")
_REFINING = ("views", "guidance", *_POSED, *_ADAPTING)


def run(words: Sequence[str]) -> None:
    """Write the field that a prior makes of a prompt, and whatever else is asked of it."""
    from metaprior.fields.export import check_background, export
    from metaprior.fields.generate import ZOO, check_shows, generate, said, with_source
    from metaprior.fields.guidance import Diffusion
    from metaprior.fields.open import open_scene
    from metaprior.fields.refine import refine
    from metaprior.fields.writers import check_kind, kind_of

    parser = Parser("generate", "Make a mesh, a picture or a film of what a prompt says.")
    options = parser.options
    options.add_argument("prompt", help="what to make, such as 'a red torus'")
    options.add_argument(
        "--prior", type=str, default=ZOO, help="a run folder, a checkpoint or zoo:NAME of 'hyperfields'"
    )
    options.add_argument(
        "--out",
        type=str | None,
        default=None,
        help="the file: .png, .mp4, .gif, .glb or .ply; or .safetensors, for 'metaprior render' and 'view'",
    )
    options.add_argument("--turntable", type=str | None, default=None, help="also a film once around: .mp4 or .gif")
    options.add_argument(
        "--views",
        type=str | None,
        default=None,
        help="posed pictures, a mesh or a scene to adapt the field to first, at 64 pixels each way",
    )
    options.add_function_arguments(open_scene, skip={"scene", "size", "views", "held_out"}, fail_untyped=False)
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
    options.add_function_arguments(export, skip={"field", "weights", "out"}, fail_untyped=False)
    options.add_argument("--device", default="cpu", help="where to compute the field: cpu, cuda, cuda:1")
    # Quick rather than large: what is made of a prompt is smooth, and a film has many pictures.
    options.set_defaults({"size": 128, "frames": 24, "rate": 12, "samples": 48})
    defaults = options.get_defaults()
    parsed = parser.parse(words)
    if parsed.out is None and parsed.turntable is None:
        raise MetapriorError("out, turntable: expected a file to write, or two; got none")
    files = {name: parsed[name] for name in ("out", "turntable") if parsed[name] is not None}
    for name, file in files.items():
        check_kind(file, "film" if name == "turntable" else None, name)
        check_background(kind_of(file), parsed.background)
        check_writable(file, name)
    given = [
        name
        for name in (*_POSED, *_ADAPTING)
        if parsed[name] != defaults[name] or any(word.split("=")[0] == f"--{name}" for word in words)
    ]
    for name in given:
        if parsed.views is None and (name in _POSED or parsed.guidance is None):
            other = "--views" if name in _POSED else "--views or --guidance"
            raise MetapriorError(f"{name}: expected {other} beside it, to adapt the field to; got none")
    skipped = {"config", "threads", "prompt", "prior", "device", "turntable", "out", *_REFINING}
    asked = {key: value for key, value in vars(parsed).items() if key not in skipped}
    check_positive(**{key: asked[key] for key in ("size", "samples", "cells", "frames", "rate")})
    if len({Path(file).resolve() for file in files.values()}) < len(files):
        raise MetapriorError(f"out, turntable: expected two files, got {parsed.out} for both")
    prior, source = with_source(parsed.prior)
    to_device(prior, parsed.device)
    if parsed.views is None and parsed.guidance is None:
        field, weights = generate(parsed.prompt, prior, source)
    else:
        field, prompt = prior.net.field, said(parsed.prompt, source)
        opening = {"convention": parsed.convention, "skip_bad": parsed.skip_bad}
        views = None if parsed.views is None else open_scene(parsed.views, **opening)[0]
        guidance = None if parsed.guidance is None else Diffusion.load(parsed.guidance)
        with progress_bar("mse") as update:
            weights = refine(
                prior,
                prompt,
                views,
                guidance=guidance,
                changes=parsed.changes,
                steps=parsed.steps,
                report=lambda line: update("adapting", line),
            )
        check_shows(field, weights, prompt)
    for file in files.values():
        console.print(export(field, weights, file, **asked))
