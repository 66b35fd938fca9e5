"""Rendering with empty cells left out against asking the field everywhere, at several occupied fractions; one view.

python benchmarks/rendering.py
"""

import argparse

import torch
from measure import clock, machine, matmul_peak, report, spread

from metaprior import load
from metaprior.fields import Cameras, Field, fit, frozen, open_scene, render, render_views
from metaprior.fields.field import OCCUPANCY
from metaprior.fields.occupancy import cell_points

RADII = (0.28, 0.46, 0.53, 0.72, 1.0, 1.4)
"""Of the ball that is occupied, by which the fraction is chosen."""
SIZE, SAMPLES, CELLS = 64, 64, 64
CHUNK, VIEW_SAMPLES = 1024, 96


def gradients(weights, seen):
    loss = seen.over(0.5).square().mean()
    return torch.autograd.grad(loss, list(weights.values()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=300, help="of fitting the scene of the single view")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    field = Field(hidden=3)
    plain = field.initial(1, torch.Generator().manual_seed(0))
    rays = Cameras.on_sphere(1, SIZE).rays()
    rows = {}
    for radius in RADII:
        mask = (cell_points(CELLS).norm(dim=-1) < radius).view(1, CELLS, CELLS, CELLS)

        def seen(culled, backward, own=plain, mask=mask):
            weights = {name: value.detach().requires_grad_(backward) for name, value in own.items()}
            start = clock(options.clock)
            with torch.set_grad_enabled(backward):
                result = render(field, weights | {OCCUPANCY: mask}, rays, SAMPLES, culled=culled)
            slopes = gradients(weights, result) if backward else []
            return clock(options.clock) - start, result, slopes

        pixels = (seen(True, False)[1].colour - seen(False, False)[1].colour).abs().max().item()
        pairs = zip(seen(True, True)[2], seen(False, True)[2], strict=True)
        slopes = max(((one - other).norm() / other.norm()).item() for one, other in pairs)
        assert pixels < 1e-6, pixels
        assert slopes < 1e-5, slopes
        seconds = {
            kind: [[seen(culled, kind == "both")[0] for culled in (False, True)] for _ in range(options.rounds)]
            for kind in ("forward", "both")
        }
        fraction = occupied_samples(mask, rays)
        rows[f"{100 * fraction:.1f} %"] = {
            "occupied_samples": fraction,
            "largest_difference": {"pixels": pixels, "gradients": slopes},
            **{
                kind: {
                    "dense_milliseconds": spread(1e3 * dense for dense, _ in own),
                    "culled_milliseconds": spread(1e3 * culled for _, culled in own),
                    "ratio": spread(dense / culled for dense, culled in own),
                }
                for kind, own in seconds.items()
            },
        }

    fitted = fit(*open_scene("a red torus on a blue box", 48, views=30, held_out=2), steps=options.steps)
    view = []
    for _ in range(options.rounds + 1):
        start = clock(options.clock)
        render_views(fitted.field, fitted.weights, Cameras.turntable(1, 128))
        view.append(clock(options.clock) - start)
    generated = view_of_a_prompt(options)
    result = {
        "what": f"{SIZE} x {SIZE} rays x {SAMPLES} samples, tri-plane and 4 layers of 64; a ball of cells is occupied",
        "settings": vars(options),
        "machine": machine(matmul_peak_gflops=round(matmul_peak(options.clock) / 1e9, 1)),
        "rows": rows,
        "view_128": {
            "prompt": fitted.prompt,
            "psnr": fitted.psnr.mean().item(),
            "occupied_cells": fitted.occupied,
            "seconds": spread(view[1:]),
        },
        "generated_128": generated,
    }
    ratio = "{median:.1f} ({lower:.1f} to {upper:.1f})"
    cells = [
        [
            name,
            f"{row['forward']['dense_milliseconds']['median']:.0f}",
            f"{row['forward']['culled_milliseconds']['median']:.1f}",
            ratio.format(**row["forward"]["ratio"]),
            ratio.format(**row["both"]["ratio"]),
        ]
        for name, row in rows.items()
    ]
    columns = ["occupied samples", f"dense ms ({options.clock})", "culled ms", "ratio", "ratio with backward"]
    report("rendering", f"Culled against dense rendering; {options.threads} threads", columns, cells, result)
    print(f"one view of 128 x 128 pixels of '{fitted.prompt}': {result['view_128']['seconds']['median']:.3f} s")
    print(
        f"of '{generated['prompt']}', generated: {generated['seconds']['median']:.3f} s; with weights written for each "
        f"{CHUNK} rays {generated['ratio']['median']:.2f} times as long, dense "
        f"{generated['dense_ratio']['median']:.1f} times "
        f"({100 * generated['occupied_samples']:.1f} % of the samples are occupied)"
    )


def view_of_a_prompt(options):
    """Return how long a view of a generated scene takes: its weights written once, or for each chunk of rays; dense."""
    prior, prompt = load("zoo:scenes"), "a striped black cone"
    cameras = Cameras.turntable(1, 128)
    rays = cameras.rays()

    def written():
        with torch.no_grad():
            return prior.field_weights(prior.start(1, about=[prompt]))

    def once():
        return render_views(prior.net.field, mask | written(), cameras, VIEW_SAMPLES)

    def for_each_chunk():
        with torch.no_grad():
            for part in torch.arange(rays.origins.shape[1]).split(CHUNK):
                render(prior.net.field, mask | written(), rays.take(part), VIEW_SAMPLES)

    def everywhere():
        with torch.no_grad():
            return render(prior.net.field, mask | written(), rays, VIEW_SAMPLES, culled=False)

    # What is empty is found once for a scene, by all.
    mask = {OCCUPANCY: frozen(prior.net.field, written())[OCCUPANCY]}
    pixels = (once().colour.flatten() - everywhere().colour.flatten()).abs().max().item()
    assert pixels < 1e-6, pixels
    seconds = []
    for _ in range(options.rounds + 1):
        times = []
        for way in (once, for_each_chunk, everywhere):
            start = clock(options.clock)
            way()
            times.append(clock(options.clock) - start)
        seconds.append(times)
    return {
        "prompt": prompt,
        "chunk": CHUNK,
        "occupied_samples": occupied_samples(mask[OCCUPANCY], rays, VIEW_SAMPLES),
        "seconds": spread(first for first, _, _ in seconds[1:]),
        "ratio": spread(other / first for first, other, _ in seconds[1:]),
        "dense_seconds": spread(dense for _, _, dense in seconds[1:]),
        "dense_ratio": spread(dense / first for first, _, dense in seconds[1:]),
    }


def occupied_samples(mask, rays, samples=SAMPLES):
    """Return which part of the samples of rays lies in occupied cells."""
    from metaprior.fields.field import occupied
    from metaprior.fields.render import crossing

    near, step = crossing(rays, samples)
    distances = near[..., None] + (torch.arange(samples) + 0.5) * step[..., None]
    points = rays.origins[..., None, :] + distances[..., None] * rays.directions[..., None, :]
    inside = occupied(mask, points.flatten(1, 2)).view_as(distances) & (step > 0)[..., None]
    return inside.float().mean().item()


if __name__ == "__main__":
    main()
