"""Score the acquired priors on prompts alone: `python results/hyperfields/score.py RUNS`; `adapt.py` adapts them.

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
    HyperFields,
    between_prompts,
    fit,
    frozen,
    open_scene,
    psnr,
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
SIZE, COLUMNS = 64, 9


def shown(prior, prompt, cameras, samples=64):
    """Return what a prior makes of a prompt, in front of white, `(V, H, W, 3)`."""
    with torch.no_grad():
        if isinstance(prior, HyperFields):
            weights = prior.field_weights(prior.start(1, about=[prompt]))
            field = prior.net.field
        else:
            weights, field = prior.net.named(prior.start(1, about=[prompt]).weights), prior.net.field
        return render_views(field, frozen(field, weights, cells=48), cameras, samples).over()


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


def judge(source, steps=1500):
    """Return a classifier of prompts that was trained on what the teachers look like, on views of training alone."""
    prompts = sorted(source.prompts("train") + source.prompts("test"))
    kept = [view for view in range(source.views) if view % 5 != 4]
    views = torch.cat([AnalyticScene(prompt).views(source.cameras[kept], 1).over() for prompt in prompts])
    images = functional.interpolate(views.permute(0, 3, 1, 2), (32, 32), mode="area")
    labels = torch.arange(len(prompts)).repeat_interleave(len(kept))
    net = Conv4(3, 32, len(prompts), norm="group", width=32)
    adam = torch.optim.Adam(net.parameters(), lr=2e-3)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        chosen = torch.randint(len(images), (64,), generator=generator)
        noise = 0.05 * torch.randn(64, 3, 32, 32, generator=generator)
        turn = torch.randint(-2, 3, (2,), generator=generator).tolist()
        adam.zero_grad()
        seen = torch.roll(images[chosen] + noise, turn, (2, 3))
        functional.cross_entropy(net(seen), labels[chosen]).backward()
        adam.step()
        falling.step()
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
    source, prior = build(read_card(path)["tasks"]), load(path)
    points = runs / "protocol,points"
    rows, pictures = quality(prior, source)
    net, prompts = judge(source)
    teachers = {prompt: source.pictures(prompt, 4).over() for prompt in prompts}
    result = spent(path) | {
        "from_points_alone": quality(load(points), source)[0] if points.exists() else None,
        "judge_on_teachers": retrieval(net, prompts, teachers, prompts),
    }
    for part, split in (("seen", "train"), ("unseen", "test")):
        found = retrieval(net, prompts, pictures, source.prompts(split))
        result[part] = rows[part] | {"retrieval": found, "published_with_clip": PUBLISHED[part]}
    for name in ("static", "minilm", "biases", "nearest"):
        if (runs / name / "finished").exists():
            own, views = quality(load(runs / name), source)
            for part, split in (("seen", "train"), ("unseen", "test")):
                own[part]["retrieval"] = retrieval(net, prompts, views, source.prompts(split))
            result[name] = own | spent(runs / name)
    rows = []
    for split in ("train", "test"):
        chosen = source.prompts(split)[:: len(source.prompts(split)) // COLUMNS][:COLUMNS]
        rows += [[teachers[prompt][0] for prompt in chosen], [pictures[prompt][0] for prompt in chosen]]
    write_picture(HERE / "protocol.png", sheet(rows, ["seen", "fields", "unseen", "fields"]))
    return result


def spent(path):
    """Return the steps and seconds of a run, first those from points, if it began with them."""
    parts = [part for part in (path.with_name(f"{path.name},points"), path) if part.exists()]
    return {key: [read_card(part)[name] for part in parts] for key, name in (("steps", "step"), ("seconds", "seconds"))}


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


def pack(runs, fits=8, steps=1000):
    """(d) how well one network shows each of 108 scenes, beside networks for one scene each, which are kept in RUNS."""
    path = runs / "pack"
    source, prior = build(read_card(path)["tasks"]), load(path)
    prompts = source.prompts()
    packed = quality(prior, source)[0]["seen"]
    chosen = prompts[:: len(prompts) // fits][:fits]
    kept = runs / f"fits-{steps}.json"
    own = json.loads(kept.read_text()) if kept.exists() else {}
    together = {}
    for prompt in chosen:
        truth = source.pictures(prompt, 4)
        together[prompt] = psnr(shown(prior, prompt, truth.cameras), truth.over()).mean().item()
        if prompt not in own:
            fitted = fit(*open_scene(prompt, SIZE, views=source.views), steps=steps)
            alone = render_views(fitted.field, fitted.weights, truth.cameras, 64).over()
            own[prompt] = {
                "psnr": psnr(alone, truth.over()).mean().item(),
                "seconds": fitted.seconds,
                "parameters": sum(value.numel() for value in fitted.weights.values() if value.is_floating_point()),
            }
            write_text(kept, json.dumps(own))
    return spent(path) | {
        "parameters": sum(value.numel() for value in prior.parameters()),
        "scenes": packed,
        "fitted": {
            "scenes": fits,
            "steps": steps,
            "seconds_each": round(sum(own[prompt]["seconds"] for prompt in chosen) / fits, 1),
            "parameters_each": own[chosen[0]]["parameters"],
            "psnr_packed_and_alone": {prompt: [together[prompt], own[prompt]["psnr"]] for prompt in chosen},
        },
    }


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
    parser.add_argument("--parts", default="a,b,d,e,g")
    options = parser.parse_args()
    torch.set_num_threads(1)
    parts = options.parts.split(",")
    if "a" in parts:
        keep("protocol", protocol(options.runs))
    if "g" in parts:
        path = options.runs / "protocol"
        keep("smoothness", smoothness(load(path), build(read_card(path)["tasks"])))
    if "b" in parts:
        keep("view", table_of(options.runs, "view"))
        keep("view_longer", table_of(options.runs, "longer"))
    if "e" in parts:
        keep("ablations", table_of(options.runs, "ablation"))
    if "d" in parts:
        keep("pack", pack(options.runs))


def keep(part, found):
    """Put a part into `result.json` beside this file, with whatever else has come to be there."""
    path = HERE / "result.json"
    result = json.loads(path.read_text()) if path.exists() else {}
    write_text(path, json.dumps(result | {"versions": versions(), part: found}, indent=2) + "\n")
    print(json.dumps(found, indent=1), flush=True)


if __name__ == "__main__":
    main()
