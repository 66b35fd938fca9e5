"""`metaprior fit`: one field for one scene, without a prior."""

from collections.abc import Sequence
from pathlib import Path

from metaprior.cli.arguments import Parser
from metaprior.cli.display import console, progress_bar
from metaprior.errors import MetapriorError
from metaprior.files import write_text

__all__ = ["run"]


def run(words: Sequence[str]) -> None:
    """Fit a field to a scene, score it on held-out views, and write it with a picture of both."""
    from metaprior.fields.fit import fit
    from metaprior.fields.open import open_scene
    from metaprior.fields.quality import LEAST_SIZE

    parser = Parser("fit", "Fit a radiance field to one scene: a prompt, a mesh, or posed pictures.")
    options = parser.options
    options.add_function_arguments(open_scene, as_positional=True, fail_untyped=False)
    options.add_function_arguments(fit, skip={"views", "held_out", "report"}, fail_untyped=False)
    options.add_argument("--out", type=str, default="runs/fit", help="a folder for the field, result.json, preview.png")
    parsed = parser.parse(words)
    asked = {key: value for key, value in vars(parsed).items() if key not in {"config", "threads", "out"}}
    if parsed.size < LEAST_SIZE:
        raise MetapriorError(f"size: expected at least {LEAST_SIZE} pixels, got {parsed.size}")
    opening = ("scene", "size", "views", "held_out", "convention", "skip_bad")
    views, held_out = open_scene(**{key: asked[key] for key in opening})
    settings = parsed.clone()
    del settings["scene"]  # said in words, and not as an option
    write_text(Path(parsed.out) / "config.yaml", parser.resolved(settings))
    with progress_bar("mse") as update:
        fitted = fit(
            views,
            held_out,
            **{key: value for key, value in asked.items() if key not in opening},
            report=lambda line: update("fitting", line),
        )
    fitted.write(parsed.out, asked)
    result = fitted.result()
    console.print(
        f"[bold]{result['psnr']:.2f} dB[/bold] PSNR, {result['ssim']:.3f} SSIM on {len(held_out)} held-out views; "
        f"{result['seconds']:.0f} s, {100 * result['occupied']:.1f} % of the space occupied"
    )
    if fitted.collapsed:
        console.print("The field shows next to nothing: more steps, more views or a smaller learning rate may help.")
    console.print(f"{parsed.out}: field.safetensors, result.json, preview.png, config.yaml")
    console.print(f"Next: metaprior render {parsed.out} --out {parsed.out}/mesh.glb")
