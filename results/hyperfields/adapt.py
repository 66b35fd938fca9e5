"""Adapt what was acquired to scenes that it does not know: `python results/hyperfields/adapt.py RUNS`.

(c) prompts of which a word or the layout was never met; (f) a truck in a colour that no truck had. What was computed is
kept in RUNS, and not computed again.
"""

import argparse
import itertools
import json
import math
import time
from pathlib import Path

import torch
from matplotlib.figure import Figure
from score import keep

from metaprior import load, read_card
from metaprior.fields import (
    AnalyticScene,
    Cameras,
    FieldNet,
    HyperFieldNet,
    HyperFields,
    frozen,
    psnr,
    refine,
    refine_field,
    render_views,
    write_picture,
)
from metaprior.fields.open import find_scene
from metaprior.fields.writers import sheet
from metaprior.files import write_text
from metaprior.registry import build

HERE = Path(__file__).parent
NOVEL = ("a brown capsule", "a grey heart", "a black octahedron", "a white bowl", "a red torus on a blue box")
"""Shapes, colours and layouts that the protocol does not hold."""
BUDGETS = (0, 10, 30, 100, 300)
LONGEST = 1000
FIRST, SCRATCH = "hyperfields, everything", "scratch, one field"
"""Of the ways to begin, these are followed to the end."""
STUCK = ("hyperfields, code", "hyperfields, last")
"""These are not followed beyond 100 steps, after which they are 9 dB behind."""
TRUCKS = ("green", "purple", "red", "yellow")
TRUCK_STEPS = 100
SIZE, SAMPLES = 64, 64


def seen(field, weights, cameras):
    """Return what a field shows, in front of white, `(V, H, W, 3)`."""
    with torch.no_grad():
        return render_views(field, frozen(field, weights, cells=48), cameras, SAMPLES).over()


def starts(runs):
    """Return each way to begin with a novel scene: its field, and from a prompt, views and steps to weights."""
    prior = load(runs / "protocol")
    found = {}

    def of_prior(prior, changes):
        def begin(prompt, views, steps):
            if not steps:
                return prior.field_weights(prior.start(1, about=[prompt]))
            return refine(prior, prompt, views, changes=changes, steps=steps)

        return prior.net.field, begin

    def of_field(field, named, **settings):
        def begin(prompt, views, steps):
            return refine_field(field, named(prompt), views, steps=steps, **settings) if steps else named(prompt)

        return field, begin

    for changes in ("everything", "code", "last", "weights"):
        found[f"hyperfields, {changes}"] = of_prior(prior, changes)
    for name, run in (
        ("hyperfields, static, everything", "static"),
        ("hyperfields told by MiniLM, everything", "minilm"),
        ("conditioned network, everything", "biases"),
    ):
        if (runs / run / "finished").exists():
            found[name] = of_prior(load(runs / run), "everything")
    for name, run, rate in (
        ("nearest", "nearest", 0.01),
        ("first-order maml", "maml", 0.005),
        ("reptile", "reptile", 0.005),
    ):
        if (runs / run / "finished").exists():
            other = load(runs / run).requires_grad_(False)
            found[name] = of_field(
                other.net.field,
                lambda prompt, other=other: other.net.named(other.start(1, about=[prompt]).weights),
                learning_rate=rate,
            )
    blank = HyperFields(HyperFieldNet(prior.net.text_size, seed=1), prior.text)
    found["scratch, hyperfields untrained"] = of_prior(blank, "everything")
    scratch = FieldNet("triplane", seed=1).requires_grad_(False)
    named = {key: value[None] for key, value in scratch.own_weights.items()}
    found["scratch, one field"] = of_field(scratch.field, lambda prompt: named, learning_rate=0.01)
    return found


def novel(runs, longest):
    """(c) PSNR on held-out views after so many steps, each budget a run of its own with a whole schedule."""
    rows, pictures = {}, {}
    views = {
        prompt: [
            AnalyticScene(prompt).views(cameras)
            for cameras in (
                Cameras.on_sphere(12, SIZE, elevations=(-20, 65)),
                Cameras.on_sphere(4, SIZE, turn=77.0),
            )
        ]
        for prompt in NOVEL
    }
    for name, (field, begin) in starts(runs).items():
        kept, shown = runs / f"novel-{name}-{longest}.json", runs / f"novel-{name}-{longest}.pt"
        found = json.loads(kept.read_text()) if kept.exists() else {}
        first = torch.load(shown, weights_only=True) if shown.exists() else {}
        for steps in (*BUDGETS[: -1 if name in STUCK else None], *([longest] if name in (FIRST, SCRATCH) else [])):
            if str(steps) in found:
                continue
            scores = []
            for prompt, (fit, other) in views.items():
                picture = seen(field, begin(prompt, fit, steps), other.cameras)
                first[prompt, steps] = picture[0]
                scores.append(psnr(picture, other.over()).mean().item())
            found[str(steps)] = {"psnr": scores}
            print(name, steps, [round(score, 1) for score in scores], flush=True)
            torch.save(first, shown)
            write_text(kept, json.dumps(found))
        rows[name] = {int(steps): row for steps, row in found.items()}
        pictures[name] = first
    grid = [
        [other.over()[0] for _, other in views.values()],
        *[[pictures[FIRST][prompt, steps] for prompt in NOVEL] for steps in (0, 30, 300)],
        *[[pictures[SCRATCH][prompt, steps] for prompt in NOVEL] for steps in (30, 300)],
    ]
    names = ["scenes", "prior", "30 steps", "300 steps", "scratch, 30", "scratch, 300"]
    write_picture(HERE / "novel.png", sheet(grid, names))
    seconds = seconds_a_step(runs)
    plot(rows, seconds)
    return {
        name: {
            "psnr": {steps: round(_mean(row["psnr"]), 2) for steps, row in found.items()},
            "psnr_by_prompt": {steps: [round(score, 2) for score in row["psnr"]] for steps, row in found.items()},
            "seconds_a_step": round(seconds[name], 4),
            "steps_to_scratch": reach(
                {steps: _mean(row["psnr"]) for steps, row in found.items()}, _mean(rows[SCRATCH][longest]["psnr"])
            ),
        }
        for name, found in rows.items()
    }


def seconds_a_step(runs, few=10, many=110):
    """Return what a step costs, all ways to begin timed one after the other, so that they can be compared.

    All are timed anew unless what is kept has every way.
    """
    kept = runs / "seconds_a_step.json"
    ways = starts(runs)
    if kept.exists() and (found := json.loads(kept.read_text())).keys() == ways.keys():
        return found
    found = {}
    views = AnalyticScene(NOVEL[0]).views(Cameras.on_sphere(12, SIZE, elevations=(-20, 65)))
    for name, (_, begin) in ways.items():
        spent = {}
        for steps in (few, few, many):
            start = time.perf_counter()
            begin(NOVEL[0], views, steps)
            spent[steps] = time.perf_counter() - start
        found[name] = (spent[many] - spent[few]) / (many - few)
        print(name, f"{1000 * found[name]:.0f} ms a step", flush=True)
    write_text(kept, json.dumps(found))
    return found


def reach(curve, goal):
    """Return the steps after which a curve reaches a PSNR, between budgets on the line over their logarithm."""
    points = sorted(curve.items())
    for (before, low), (after, high) in itertools.pairwise(points):
        if high >= goal:
            if low >= goal:
                return before
            first, last = math.log(max(before, 1)), math.log(after)
            return round(math.exp(first + (goal - low) / (high - low) * (last - first)), 1)
    return None


def plot(rows, seconds):
    """Draw PSNR against steps, and against seconds."""
    figure = Figure(figsize=(12.5, 4.4), layout="constrained")
    by_steps, by_seconds = figure.subplots(1, 2, sharey=True)
    for axes, unit in ((by_steps, dict.fromkeys(rows, 1.0)), (by_seconds, seconds)):
        for name, found in rows.items():
            points = [(unit[name] * steps, _mean(row["psnr"])) for steps, row in found.items() if steps]
            axes.plot(*zip(*points, strict=True), marker=".", label=name, linestyle="--" if "scratch" in name else "-")
    by_steps.set(xscale="log", xlabel="steps on 12 views of a novel scene", ylabel="PSNR on 4 other views, dB")
    by_seconds.set(xscale="log", xlabel="seconds of a core")
    figure.legend(*by_steps.get_legend_handles_labels(), fontsize="small", loc="outside right center")
    figure.savefig(HERE / "novel_curves.png", dpi=110)


def trucks(runs):
    """(f) each of four trucks held out in turn; its colour is known from other things, its shape from other trucks."""
    rows, columns = {}, []
    for colour in TRUCKS:
        path = runs / f"trucks,{colour}"
        if not (path / "finished").exists():
            continue
        source, prior = build(read_card(path)["tasks"]), load(path)
        views = {other: source.pictures(f"a {other} truck", 4) for other in TRUCKS}
        fields = {
            other: seen(prior.net.field, prior.field_weights(prior.start(1, about=[view.prompt])), view.cameras)
            for other, view in views.items()
        }
        truth = views[colour].over()
        few = find_scene(f"kenney:vehicle-truck-{colour}").views(Cameras.on_sphere(3, source.size, turn=33.0))
        scratch = HyperFields(HyperFieldNet(prior.net.text_size, seed=1), prior.text)
        refined = {
            name: seen(own.net.field, refine(own, views[colour].prompt, few, steps=TRUCK_STEPS), views[colour].cameras)
            for name, own in (("prior", prior), ("scratch", scratch))
        }
        alike = {other: psnr(fields[colour], view.over()).mean().item() for other, view in views.items()}
        rows[colour] = {
            "psnr": alike[colour],
            "psnr_of_seen_trucks": _mean(
                [psnr(fields[other], views[other].over()).mean().item() for other in TRUCKS if other != colour]
            ),
            "psnr_of_another_truck": {
                other: psnr(views[other].over(), truth).mean().item() for other in TRUCKS if other != colour
            },
            "named": max(alike, key=alike.__getitem__),
            **{f"psnr_of_{name}_on_3_views": psnr(own, truth).mean().item() for name, own in refined.items()},
        }
        columns.append([truth[0], fields[colour][0], refined["prior"][0], refined["scratch"][0]])
        print(colour, rows[colour], flush=True)
    if columns:
        names = ["held out", "prior", "3 views", "scratch, 3 views"]
        write_picture(HERE / "trucks.png", sheet([list(row) for row in zip(*columns, strict=True)], names))
    return rows


def _mean(values):
    return sum(values) / len(values)


def main():
    """Add the parts to `result.json` beside this file, and draw their pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--steps", type=int, default=LONGEST, help="of the longest runs of (c)")
    parser.add_argument("--parts", default="c,f")
    options = parser.parse_args()
    torch.set_num_threads(1)
    parts = options.parts.split(",")
    if "c" in parts:
        keep("novel", novel(options.runs, options.steps))
    if "f" in parts:
        keep("trucks", trucks(options.runs))


if __name__ == "__main__":
    main()
