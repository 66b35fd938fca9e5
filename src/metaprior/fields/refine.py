"""Adapting an acquired prior to one scene: on a few views of it, or on what a guide says of its pictures.

Axis letters: R rays, V views, H height, W width.
"""

import copy
import math
import time
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from metaprior.errors import AcquireError, MetapriorError, UnknownNameError, check_positive
from metaprior.fields.cameras import Cameras, Rays
from metaprior.fields.field import OCCUPANCY, Field, Weights
from metaprior.fields.guidance import Guidance
from metaprior.fields.hyperfields import HyperFields
from metaprior.fields.occupancy import between, frozen
from metaprior.fields.render import render
from metaprior.fields.text import encode
from metaprior.fields.views import Views
from metaprior.run import Progress

__all__ = ["Changes", "refine", "refine_field"]

Changes = Literal["everything", "code", "last", "weights"]
_RATES: dict[str, float] = {"everything": 1e-3, "code": 0.03, "last": 2e-3, "weights": 0.01}
_CELLS, _EMPTY, _OPEN = 24, 0.1, 8
"""The mask by which empty space is left out, and the share of the rays that are followed through it all the same."""
_REFRESH = 8
"""Steps between two looks at where the field is empty."""
_GUIDED = 64
"""Pixels each way of the pictures that a guide is shown."""
_PLANES = 10.0
"""Planes change by so much more than the layers do."""


def refine(
    prior: HyperFields,
    prompt: str,
    views: Views | None = None,
    *,
    guidance: Guidance | None = None,
    changes: Changes = "everything",
    steps: int = 100,
    rays: int = 1024,
    samples: int = 48,
    learning_rate: float | None = None,
    seed: int = 0,
    report: Callable[[Progress], None] | None = None,
    watch: Callable[[int, Weights], None] | None = None,
) -> Weights:
    """Return the weights of the field of a prompt, after gradient steps from what the prior made of it.

    Args:
        prior: left as it was.
        prompt: what the scene is.
        views: pictures of it; None if there is a guide.
        guidance: says of pictures of the field from random sides how they should change; see `fields.guidance`.
        changes: "everything" that the prior is made of; the "code" that the prompt was read as; the generators of the
            "last" layer, and of those that know the view; or the "weights" of the field, planes included, apart from
            what wrote them.
        steps: of Adam.
        rays: R, of a step on views.
        samples: of a ray.
        learning_rate: None for one that suits `changes`.
        seed: of the choice of rays and sides.
        report: called after every step.
        watch: called with the number of steps taken and the weights, before the first and after every step.

    Raises:
        MetapriorError: if there are neither views nor a guide.
        AcquireError: if the loss becomes infinite or NaN.

    Example:
        >>> from metaprior.fields import AnalyticScene, HyperFieldNet
        >>> prior = HyperFields(HyperFieldNet(text_size=64, cells=8, width=16, hidden=1), "words", samples=8)
        >>> views = AnalyticScene("a red ball").views(Cameras.on_sphere(3, size=8))
        >>> refine(prior, "a red ball", views, changes="code", steps=2, rays=16)["layers.0.weight"].shape
        torch.Size([1, 16, 75])
    """
    if changes not in _RATES:
        raise UnknownNameError("choice for changes", changes, _RATES)
    prior = copy.deepcopy(prior).eval().requires_grad_(False)
    groups, written = _changing(prior, prompt, changes)
    return _descend(
        prior.net.field,
        groups,
        written,
        prompt,
        views,
        guidance,
        steps,
        rays,
        samples,
        _RATES[changes] if learning_rate is None else learning_rate,
        seed,
        report,
        watch,
    )


def refine_field(
    field: Field,
    weights: Weights,
    views: Views,
    *,
    steps: int = 100,
    rays: int = 1024,
    samples: int = 48,
    learning_rate: float = 0.01,
    seed: int = 0,
    watch: Callable[[int, Weights], None] | None = None,
) -> Weights:
    """Return the weights of a field after gradient steps on views of it, as `refine` takes them from a prior's.

    Args:
        field: the shape of the field.
        weights: of one scene, planes included; they are left as they were.
        views: pictures.
        steps: of Adam.
        rays: R, of a step.
        samples: of a ray.
        learning_rate: of the layers; planes have ten times as much.
        seed: of the choice of rays.
        watch: called with the number of steps taken and the weights, before the first and after every step.

    Raises:
        AcquireError: if the loss becomes infinite or NaN.
    """
    groups, written = _own(weights)
    return _descend(field, groups, written, "", views, None, steps, rays, samples, learning_rate, seed, None, watch)


def _descend(
    field: Field,
    groups: list[tuple[list[Tensor], float]],
    written: Callable[[], Weights],
    prompt: str,
    views: Views | None,
    guidance: Guidance | None,
    steps: int,
    rays: int,
    samples: int,
    rate: float,
    seed: int,
    report: Callable[[Progress], None] | None,
    watch: Callable[[int, Weights], None] | None,
) -> Weights:
    """Take steps on what `groups` hold, from which `written` makes the weights of the field."""
    check_positive(steps=steps, rays=rays, samples=samples, learning_rate=rate)
    if views is None and guidance is None:
        raise MetapriorError("views, guidance: expected one of them, or both; got neither")
    generator = torch.Generator().manual_seed(seed)
    adam = torch.optim.Adam(
        [{"params": own, "lr": rate * factor, "top": rate * factor} for own, factor in groups if own],
        betas=(0.9, 0.99),
    )
    seconds = 0.0
    mask: Weights = {}
    for step in range(steps):
        start = time.perf_counter()
        weights = written()
        if watch is not None:
            watch(step, {name: value.detach() for name, value in weights.items()})
        if step % _REFRESH == 0:
            mask = {OCCUPANCY: between(field, weights, _CELLS, _EMPTY)}
        for group in adam.param_groups:
            group["lr"] = group["top"] * max(0.5 * (1 + math.cos(math.pi * step / steps)), 0.02)
        adam.zero_grad()
        loss = torch.zeros(())
        if views is not None:
            loss = _of_views(field, weights, mask, views, rays, samples, generator)
        if guidance is not None:
            loss = loss + _of_guide(field, weights | mask, prompt, guidance, step, samples, generator)
        if not math.isfinite(loss.item()):
            raise AcquireError(f"loss: became {loss.item()} at step {step + 1}; try a smaller learning rate")
        loss.backward()
        adam.step()
        seconds += time.perf_counter() - start
        if report is not None:
            report(Progress(step + 1, seconds, (step + 1) / steps, loss.item()))
    final = {name: value.detach() for name, value in written().items()}
    if watch is not None:
        watch(steps, final)
    return frozen(field, final, cells=48)


def _own(weights: Weights) -> tuple[list[tuple[list[Tensor], float]], Callable[[], Weights]]:
    """Return copies of weights, planes apart, and what gives all of them."""
    own = {name: value.detach().clone().requires_grad_() for name, value in weights.items() if name != OCCUPANCY}
    planes = [value for name, value in own.items() if name.startswith("encoder")]
    layers = [value for name, value in own.items() if not name.startswith("encoder")]
    return [(layers, 1.0), (planes, _PLANES)], lambda: dict(own)


def _changing(
    prior: HyperFields, prompt: str, changes: Changes
) -> tuple[list[tuple[list[Tensor], float]], Callable[[], Weights]]:
    """Return what changes, with factors of the learning rate, and what gives the weights of the field."""
    net = prior.net
    about = encode([prompt], prior.text)._asdict()
    with torch.no_grad():
        state = prior.start(1, about=about)
    if changes == "weights":
        return _own(prior.field_weights(state))
    if changes == "code":
        code = state.code.clone().requires_grad_()
        return [([code], 1.0)], lambda: net.whole(net.write(code))
    if changes == "last":
        parameters: list[Tensor] = [value for writer in net.writers[net.hidden :] for value in writer.parameters()]
        code = state.code
        read = lambda: net.whole(net.write(code))  # noqa: E731
    else:
        parameters = list(net.parameters())
        read = lambda: net.whole(prior.start(1, about=about).weights)  # noqa: E731
    for value in parameters:
        value.requires_grad_()
    return [(parameters, 1.0)], read


def _of_views(
    field: Field, weights: Weights, mask: Weights, views: Views, rays: int, samples: int, generator: torch.Generator
) -> Tensor:
    """Return the mean squared error along random rays, in front of random colours."""
    every, truth = views.rays()
    chosen = torch.randint(len(truth), (rays,), generator=generator)
    background = torch.rand(rays, 3, generator=generator)
    wanted = truth[chosen, :3] + (1 - truth[chosen, 3:]) * background
    parts = [(weights, chosen[: rays // _OPEN]), (weights | mask, chosen[rays // _OPEN :])]
    seen = [
        render(field, own, Rays(every.origins[part][None], every.directions[part][None]), samples)
        for own, part in parts
    ]
    colour = torch.cat([part.colour[0] for part in seen])
    opacity = torch.cat([part.opacity[0] for part in seen])
    return (colour + (1 - opacity[:, None]) * background.to(colour) - wanted.to(colour)).square().mean()


def _of_guide(
    field: Field,
    weights: Weights,
    prompt: str,
    guidance: Guidance,
    step: int,
    samples: int,
    generator: torch.Generator,
) -> Tensor:
    """Return what has the guide's gradient with respect to a picture from a random side."""
    turn, height = torch.rand(2, generator=generator).tolist()
    camera = Cameras.turntable(1, _GUIDED, azimuth=360 * turn, elevation=90 * height - 20)
    seen = render(field, weights, camera.rays(), samples).over(1.0)
    picture = seen.view(1, _GUIDED, _GUIDED, 3)
    gradient = guidance(picture.detach().permute(0, 3, 1, 2), prompt, step).permute(0, 2, 3, 1)
    return (picture * gradient.detach().to(picture)).sum()
