"""Score the acquired priors over scenes: `python results/hyperfields/score.py RUNS`.

What is not there is left out, so that a part of the runs can be scored.
"""

import argparse
import json
from pathlib import Path

import torch
from torch.nn import functional

from metaprior import load, read_card
from metaprior.checkpoint import versions
from metaprior.fields import (
    AnalyticScene,
    Cameras,
    FieldNet,
    HyperFieldNet,
    HyperFields,
    between_prompts,
    frozen,
    psnr,
    refine,
    refine_field,
    render_views,
    ssim,
    write_picture,
)
from metaprior.fields.field import of_scene
from metaprior.fields.writers import sheet
from metaprior.files import write_text
from metaprior.nets import Conv4
from metaprior.registry import build

HERE = Path(__file__).parent
PUBLISHED = {
    "unseen": {1: 57.1, 3: 85.7, 5: 85.7, 6: 90.4, 10: 95.2},
    "seen": {1: 69.5, 3: 88.1, 5: 94.9, 6: 94.9, 10: 96.6},
}
NOVEL = ("a brown capsule", "a grey heart", "a black octahedron", "a white bowl", "a red torus on a blue box")
"""Shapes, colours and layouts that the protocol does not hold."""
MILESTONES = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
SIZE = 64


def shown(prior, prompt, cameras, samples=64):
    """Return what a prior makes of a prompt, in front of white, `(V, H, W, 3)`."""
    with torch.no_grad():
        if isinstance(prior, HyperFields):
            weights = prior.field_weights(prior.start(1, about=[prompt]))
            field = prior.net.field
        else:
            weights, field = prior.net.named(prior.start(1, about=[prompt]).weights), prior.net.field
        return render_views(field, frozen(field, weights, cells=48, points=1), cameras, samples).over()


def quality(prior, source):
    """Return PSNR and SSIM of seen and unseen prompts, on views that were not trained on."""
    rows, pictures = {}, {}
    for part, split in (("seen", "train"), ("unseen", "test")):
        scores = []
        for prompt in source.prompts(split):
            truth = source.pictures(prompt, 4)
            pictures[prompt] = shown(prior, prompt, truth.cameras)
            scores.append((psnr(pictures[prompt], truth.over()).mean(), ssim(pictures[prompt], truth.over()).mean()))
        both = torch.tensor(scores)
        rows[part] = {
            "prompts": len(both),
            "psnr": round(both[:, 0].mean().item(), 2),
            "psnr_interval_95": round(1.96 * both[:, 0].std().item() / len(both) ** 0.5, 2),
            "ssim": round(both[:, 1].mean().item(), 4),
        }
    return rows, pictures


def judge(source, steps=500):
    """Return a classifier of prompts that was trained on what the teachers look like, on views of training alone."""
    prompts = sorted(source.prompts("train") + source.prompts("test"))
    kept = [view for view in range(source.views) if view % 5 != 4]
    views = torch.cat([AnalyticScene(prompt).views(source.cameras[kept], 1).over() for prompt in prompts])
    images = functional.interpolate(views.permute(0, 3, 1, 2), (32, 32), mode="area")
    labels = torch.arange(len(prompts)).repeat_interleave(len(kept))
    net = Conv4(3, 32, len(prompts), norm="group", width=32)
    adam = torch.optim.Adam(net.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        chosen = torch.randint(len(images), (64,), generator=generator)
        noise = 0.05 * torch.randn(64, 3, 32, 32, generator=generator)
        turn = torch.randint(-2, 3, (2,), generator=generator).tolist()
        adam.zero_grad()
        seen = torch.roll(images[chosen] + noise, turn, (2, 3))
        functional.cross_entropy(net(seen), labels[chosen]).backward()
        adam.step()
    return net.eval(), prompts


def retrieval(net, prompts, pictures, asked):
    """Return how often, in percent, a prompt is among the k that the judge thinks likeliest of its four views."""
    ranks = []
    with torch.no_grad():
        for prompt in asked:
            images = functional.interpolate(pictures[prompt].permute(0, 3, 1, 2), (32, 32), mode="area")
            order = net(images).log_softmax(-1).mean(0).argsort(descending=True)
            ranks.append(int((order == prompts.index(prompt)).nonzero()))
    return {k: round(100 * sum(rank < k for rank in ranks) / len(ranks), 1) for k in (1, 3, 5, 6, 10)}


def protocol(runs):
    """(a) 45 seen and 27 unseen prompts."""
    path = runs / "protocol"
    source, prior, card = build(read_card(path)["tasks"]), load(path), read_card(path)
    rows, pictures = quality(prior, source)
    net, prompts = judge(source)
    teachers = {prompt: source.pictures(prompt, 4).over() for prompt in prompts}
    result = {
        "steps": card["step"],
        "seconds": card["seconds"],
        "judge_on_teachers": retrieval(net, prompts, teachers, prompts),
    }
    for part, split in (("seen", "train"), ("unseen", "test")):
        found = retrieval(net, prompts, pictures, source.prompts(split))
        result[part] = rows[part] | {"retrieval": found, "published_with_clip": PUBLISHED[part]}
    first = [[pictures[prompt][0] for prompt in source.prompts(split)[:9]] for split in ("train", "test")]
    truth = [[teachers[prompt][0] for prompt in source.prompts(split)[:9]] for split in ("train", "test")]
    write_picture(
        HERE / "protocol.png", sheet([truth[0], first[0], truth[1], first[1]], ["seen", "fields", "unseen", "fields"])
    )
    return result


def table_of(runs, pattern):
    """(b), (e): quality of every run whose name begins so."""
    result = {}
    for finished in sorted(runs.glob(f"{pattern},*/finished")):
        path = finished.parent
        card = read_card(path)
        result[path.name] = quality(load(path), build(card["tasks"]))[0] | {
            "steps": card["step"],
            "seconds": round(card["seconds"], 1),
            "parameters": sum(value.numel() for value in load(path).parameters()),
        }
        print(path.name, result[path.name], flush=True)
    return result


def starts(runs):
    """Yield the name of each way to begin with a novel scene, and a function of a prompt and a number of steps."""
    path = runs / "protocol"
    prior = load(path)
    for changes in ("everything", "code", "last", "weights"):
        yield (
            f"hyperfields, {changes}",
            lambda prompt, changes=changes, **more: refine(prior, prompt, changes=changes, **more),
            prior.net.field,
        )
    if (runs / "biases").exists():
        one = load(runs / "biases")
        yield "conditioned network, everything", lambda prompt, **more: refine(one, prompt, **more), one.net.field
    for name in ("nearest", "maml", "reptile"):
        if (runs / name).exists():
            other = load(runs / name)
            field = other.net.field

            def begin(prompt, other=other, field=field, **more):
                with torch.no_grad():
                    weights = other.net.named(other.start(1, about=[prompt]).weights)
                return refine_field(field, weights, **more)

            yield name, begin, field
    blank = HyperFields(HyperFieldNet(prior.net.text_size, dynamic=False, seed=1))
    yield "scratch, hyperfields untrained", lambda prompt, **more: refine(blank, prompt, **more), blank.net.field
    scratch = FieldNet("triplane", seed=1)
    named = {key: value[None] for key, value in scratch.own_weights.items()}
    fast = {"learning_rate": 5e-3}
    yield "scratch, one field", lambda prompt, **more: refine_field(scratch.field, named, **fast, **more), scratch.field


def novel(runs, prompts, most):
    """(c) PSNR on held-out views against steps, on prompts of which a word or the layout was never met."""
    result = {}
    for name, begin, field in starts(runs):
        curves = []
        for prompt in prompts:
            scene = AnalyticScene(prompt)
            fit = scene.views(Cameras.on_sphere(12, SIZE, elevations=(-20, 65)))
            other = scene.views(Cameras.on_sphere(4, SIZE, turn=77.0))
            curve = {}

            def watch(step, weights, curve=curve, other=other, field=field):
                if step in MILESTONES:
                    seen = render_views(field, frozen(field, weights, cells=32, points=1), other.cameras, 64).over()
                    curve[step] = psnr(seen, other.over()).mean().item()

            begin(prompt, views=fit, steps=most, rays=1024, watch=watch)
            curves.append(curve)
        result[name] = {step: round(sum(curve[step] for curve in curves) / len(curves), 2) for step in curves[0]}
        print(name, result[name], flush=True)
    return result


def smoothness(prior, source, pairs=6, frames=25):
    """(g) the largest step of the pictures on the way between two prompts, as a multiple of the mean one; 1 is even."""
    prompts = source.prompts()
    result = {}
    for through in ("code", "tokens"):
        worst = []
        for pair in range(pairs):
            first, second = prompts[7 * pair % len(prompts)], prompts[(7 * pair + 23) % len(prompts)]
            weights = between_prompts(prior, first, second, frames, through)
            film = torch.cat(
                [
                    render_views(prior.net.field, of_scene(weights, frame), Cameras.turntable(1, 24), 32).over()
                    for frame in range(frames)
                ]
            )
            steps = film.diff(dim=0).square().flatten(1).mean(1).sqrt()
            worst.append((steps.max() / steps.mean()).item())
        result[through] = round(sum(worst) / len(worst), 2)
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", type=Path)
    parser.add_argument("--novel", type=int, default=len(NOVEL), help="how many prompts of (c)")
    parser.add_argument("--steps", type=int, default=1000, help="of (c)")
    parser.add_argument("--parts", default="a,b,c,e,g")
    options = parser.parse_args()
    torch.set_num_threads(1)
    kept = HERE / "result.json"
    result = json.loads(kept.read_text()) if kept.exists() else {}
    result["versions"] = versions()
    parts = options.parts.split(",")
    if "a" in parts:
        result["protocol"] = protocol(options.runs)
        print(json.dumps(result["protocol"], indent=1), flush=True)
    if "g" in parts:
        path = options.runs / "protocol"
        result["smoothness"] = smoothness(load(path), build(read_card(path)["tasks"]))
        print(result["smoothness"], flush=True)
    if "b" in parts:
        result["view"] = table_of(options.runs, "view")
    if "e" in parts:
        result["ablations"] = table_of(options.runs, "ablation")
    if "c" in parts:
        result["novel"] = novel(options.runs, NOVEL[: options.novel], options.steps)
    write_text(kept, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
