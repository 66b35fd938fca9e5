"""Put acquired priors into the package, each with its measured score: `python results/zoo.py RUNS`.

RUNS holds a folder for each entry below, as `results/omniglot/run.sh`, `results/glyphs/run.sh`,
`results/hyperfields/run.sh` and `results/fsmol/run.sh` write them. What a prior of molecules scored is read from
`results/fsmol/result.json`.
"""

import json
import sys
from pathlib import Path

import torch

from metaprior import Ensemble, evaluate, load, read_card, save
from metaprior.datasets import DATASETS
from metaprior.fields import generate, psnr, render_views
from metaprior.molecules import MultitaskProbe
from metaprior.registry import build
from metaprior.tasks import Glyphs, Omniglot

ZOO = Path(__file__).parent.parent / "src" / "metaprior" / "zoo"
ENTRIES = {
    "omniglot-protonet": ("omniglot/protonet", Omniglot(ways=5, shots=1)),
    "omniglot-ridge": ("omniglot/ridge", Omniglot(ways=5, shots=1)),
    "omniglot-maml": ("omniglot/maml5", Omniglot(ways=5, shots=1)),
    "glyphs-protonet": ("glyphs/protonet", Glyphs(ways=5, shots=1)),
}


def main():
    """Score each prior on 1,000 test tasks and save it with what it scored."""
    torch.set_num_threads(1)
    ZOO.mkdir(exist_ok=True)
    for name, (folder, source) in ENTRIES.items():
        path = Path(sys.argv[1]) / folder
        if not path.exists():
            continue
        prior, card = load(path), read_card(path)
        for key in ("ways", "outputs"):
            # Classes are made room for as they are seen; five are what the zoo is scored on.
            if key in card["arguments"]:
                setattr(prior, key, 5)
        result = evaluate(prior, source, episodes=1000)
        mode = "transductive" if result.transductive else "inductive"
        score = f"{result} on 1,000 test tasks, 5-way 1-shot, {mode}; {result.parameters:,} parameters"
        facts = {key: card[key] for key in ("tasks", "spec", "inputs", "data_hash", "seed", "step", "seconds")}
        facts["spec"] = {**facts["spec"], "outputs": 5}
        save(prior, ZOO / f"{name}.safetensors", **facts, score=score, result=result.row())
        print(name, score, flush=True)
    if (path := Path(sys.argv[1]) / "hyperfields" / "zoo,sharper").exists():
        keep_scenes(path)
    if (path := Path(sys.argv[1]) / "fsmol" / "ensemble,pairs").exists():
        keep_molecules(path)


def keep_molecules(path):
    """Save probes over assays without the heads of their training assays, in half precision, and what they scored."""
    acquired, card = load(path), read_card(path)
    prior = Ensemble([headless(member) for member in acquired.members], acquired.columns)
    rows = json.loads((Path(__file__).parent / "fsmol" / "result.json").read_text())["rows"]
    rows = [row for row in rows if row["method"] == path.name and row["kind"] == "classification"]
    scores = ", ".join(f"{row['delta_auprc']:.3f} at {row['support']}" for row in rows)
    parameters = sum(value.numel() for value in prior.parameters())
    licence = f"acquired on FS-Mol, {DATASETS['fsmol'].licence}"
    score = f"delta-AUPRC {scores} on the test assays of FS-Mol; {parameters:,} parameters; {licence}"
    facts = {key: card[key] for key in ("tasks", "inputs", "step", "seconds")}
    facts["spec"] = {**card["spec"], "pool": None}
    facts["members"] = [{key: value for key, value in one.items() if key != "run"} for one in card["members"]]
    save(prior, ZOO / "molecules.safetensors", half=True, **facts, licence=licence, score=score, result=rows)
    print("molecules", score, flush=True)


def headless(probe):
    """Return a probe that knows its network alone."""
    return MultitaskProbe(
        probe.net, probe=probe.probe, scale=probe.scale, inputs=probe.inputs, sharpness=probe.sharpness
    )


def keep_scenes(path):
    """Score a prior over scenes on prompts that it never met, and save it."""
    prior, card = load(path), read_card(path)
    source = build(card["tasks"])
    scores = []
    for prompt in source.prompts("test")[:40]:
        truth = source.pictures(prompt, 2)
        field, weights = generate(prompt, prior)
        scores.append(psnr(render_views(field, weights, truth.cameras, 64).over(), truth.over()).mean())
    mean = torch.stack(scores).mean().item()
    interval = 1.96 * torch.stack(scores).std().item() / len(scores) ** 0.5
    parameters = sum(value.numel() for value in prior.parameters())
    score = f"{mean:.1f} ± {interval:.1f} dB PSNR on {len(scores)} prompts never met; {parameters:,} parameters"
    facts = {key: card[key] for key in ("tasks", "spec", "inputs", "data_hash", "seed", "step", "seconds")}
    save(prior, ZOO / "scenes.safetensors", **facts, score=score, result={"psnr": mean, "interval_95": interval})
    print("scenes", score, flush=True)


if __name__ == "__main__":
    main()
