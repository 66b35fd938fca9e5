"""Fitting one field to pictures of one scene: the teacher of priors, and the baseline without a prior.

Axis letters: V views, R rays of a step, G cells along an axis.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from metaprior.errors import AcquireError, MetapriorError, UnknownNameError, check_positive
from metaprior.fields.encoders import ENCODERS
from metaprior.fields.field import OCCUPANCY, Field, Weights
from metaprior.fields.network import save_field
from metaprior.fields.occupancy import cell_points, densities, frozen, mask_of
from metaprior.fields.quality import large_enough, psnr, ssim
from metaprior.fields.render import render, render_views
from metaprior.fields.views import Views
from metaprior.fields.writers import sheet, write_picture
from metaprior.files import write_text
from metaprior.run import Progress

__all__ = ["Fitted", "fit"]

EncoderName = Literal["triplane", "dense", "frequency", "hash"]

_REFRESH = 16
"""Steps between two looks at where the field is empty."""
_WARM_UP = 64
"""Steps before anything counts as empty; they look everywhere, along a quarter of the rays."""
_CELLS = 32
"""Of the mask while the field is fitted."""
_DECAY = 0.9
_EMPTY = 0.5
"""The density below which a cell counts as empty."""
_COLLAPSED = 0.01
"""The mean opacity below which a field shows nothing."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted field, and how like the held-out pictures it is.

    Args:
        field: its shape.
        weights: of the one scene, with its mask.
        psnr: `(V,)`, in dB, of the held-out views in front of white.
        ssim: `(V,)`.
        seconds: that fitting took.
        occupied: the part of the cube that is not masked as empty.
        prompt: what the scene is.
        held_out: the held-out views.
        seen: `(V, H, W, 3)`, what the field shows of them.
    """

    field: Field
    weights: Weights
    psnr: Tensor
    ssim: Tensor
    seconds: float
    occupied: float
    prompt: str
    held_out: Views
    seen: Tensor

    @property
    def collapsed(self) -> bool:
        """Whether the field shows next to nothing where the pictures show something."""
        truth = float((self.held_out.over() - 1).abs().mean())
        return float((self.seen - 1).abs().mean()) < _COLLAPSED * truth

    def result(self) -> dict[str, Any]:
        """Return the figures, ready for JSON."""
        return {
            "prompt": self.prompt,
            "psnr": round(self.psnr.mean().item(), 3),
            "ssim": round(self.ssim.mean().item(), 4),
            "held_out_views": len(self.psnr),
            "seconds": round(self.seconds, 2),
            "occupied": round(self.occupied, 4),
            "parameters": sum(value.numel() for name, value in self.weights.items() if name != OCCUPANCY),
            "collapsed": self.collapsed,
        }

    def preview(self, most: int = 8) -> Tensor:
        """Return held-out views above what the field shows of them, as one picture."""
        return sheet([list(self.held_out.over()[:most]), list(self.seen[:most])], ["held out", "fitted"])

    def write(self, folder: str | Path, settings: dict[str, Any] | None = None) -> None:
        """Write `field.safetensors`, `result.json`, which begins with the settings given, and `preview.png`."""
        folder = Path(folder)
        save_field(folder / "field.safetensors", self.field, self.weights, prompt=self.prompt)
        write_text(folder / "result.json", json.dumps((settings or {}) | self.result(), indent=2) + "\n")
        write_picture(folder / "preview.png", self.preview())


def fit(
    views: Views,
    held_out: Views,
    *,
    encoder: EncoderName = "triplane",
    width: int = 64,
    hidden: int = 2,
    directions: bool = False,
    steps: int = 1000,
    rays: int = 2048,
    samples: int = 64,
    learning_rate: float = 0.01,
    smoothness: float = 0.1,
    cells: int = 64,
    seed: int = 0,
    report: Callable[[Progress], None] | None = None,
) -> Fitted:
    """Fit a field to pictures, and score it on others.

    Pixels are compared in front of a new random colour at every step, so that what is empty becomes so.

    Args:
        views: to fit.
        held_out: to score on.
        encoder: "triplane", "dense", "frequency" or "hash".
        width: hidden units of a layer.
        hidden: hidden layers.
        directions: let colour depend on the direction of view; for glossy and iridescent scenes.
        steps: gradient steps.
        rays: R.
        samples: of a ray.
        learning_rate: of the encoder; the perceptron has a half of it.
        smoothness: how much neighbouring features of planes are kept alike.
        cells: G, of the final mask of what is empty.
        seed: of initial weights and of the choice of rays.
        report: called after every step.

    Raises:
        ShapeError: if held-out pictures are smaller than 11 x 11 pixels, which SSIM needs.
        AcquireError: if the loss becomes infinite or NaN.

    Example:
        >>> from metaprior.fields.open import open_scene
        >>> fitted = fit(*open_scene("a red ball", 16, views=4, held_out=1), steps=2, rays=64, samples=8, cells=8)
        >>> fitted.psnr.shape
        torch.Size([1])
    """
    check_positive(steps=steps, rays=rays, samples=samples, learning_rate=learning_rate, cells=cells, width=width)
    if min(hidden, smoothness) < 0:
        raise MetapriorError(f"hidden, smoothness: expected at least 0, got {hidden} and {smoothness}")
    large_enough(held_out=held_out.colour)
    if encoder not in ENCODERS:
        raise UnknownNameError("encoder", encoder, ENCODERS)
    generator = torch.Generator().manual_seed(seed)
    field = Field(ENCODERS[encoder](), width=width, hidden=hidden, directions=directions)
    weights = {name: value.requires_grad_() for name, value in field.initial(1, generator).items()}
    rates = {name: 1.0 if name.startswith("encoder") else 0.5 for name in weights}
    optimiser = torch.optim.Adam(
        [{"params": [value], "lr": rates[name] * learning_rate} for name, value in weights.items()],
        betas=(0.9, 0.99),
        eps=1e-15,
    )
    all_rays, truth = views.rays()
    largest = torch.zeros(1, _CELLS, _CELLS, _CELLS)
    mask: Weights = {}
    seconds = 0.0
    for step in range(steps):
        start = time.perf_counter()
        if step >= _WARM_UP and step % _REFRESH == 0:
            own = densities(field, weights, cell_points(_CELLS, generator)).view_as(largest)
            largest = torch.maximum(largest * _DECAY, own)
            mask = {OCCUPANCY: mask_of(largest, _EMPTY)}
        for name, group in zip(weights, optimiser.param_groups, strict=True):
            group["lr"] = rates[name] * learning_rate * max(0.5 * (1 + math.cos(math.pi * step / steps)), 0.02)
        count = rays if mask else math.ceil(rays / 4)
        chosen = torch.randint(len(truth), (count,), generator=generator)
        background = torch.rand(count, 3, generator=generator)
        own_rays = type(all_rays)(all_rays.origins[chosen][None], all_rays.directions[chosen][None])
        seen = render(field, weights | mask, own_rays, samples, generator)
        wanted = truth[chosen, :3] + (1 - truth[chosen, 3:]) * background
        loss = (seen.over(background)[0] - wanted).square().mean()
        total = loss + smoothness * _roughness(weights)
        if not math.isfinite(loss.item()):
            raise AcquireError(f"loss: became {loss.item()} at step {step + 1}; try a smaller learning rate")
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        seconds += time.perf_counter() - start
        if report is not None:
            report(Progress(step + 1, seconds, (step + 1) / steps, loss.item()))
    final = frozen(field, {name: value.detach() for name, value in weights.items()}, cells, _EMPTY, margin=1)
    shown = render_views(field, final, held_out.cameras).over()
    return Fitted(
        field,
        final,
        psnr(shown, held_out.over()),
        ssim(shown, held_out.over()),
        seconds,
        final[OCCUPANCY].float().mean().item(),
        views.prompt,
        held_out,
        shown,
    )


def _roughness(weights: Weights) -> Tensor | float:
    """Return the mean squared difference of neighbours on planes of features; 0 for encoders without any."""
    planes = weights.get("encoder.planes")
    if planes is None:
        return 0.0
    return planes.diff(dim=-1).square().mean() + planes.diff(dim=-2).square().mean()
