"""Score the acquired priors on fixed tasks: `python results/hypernetworks-images/score.py RUNS`."""

import json
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn import functional

from metaprior import evaluate, load, read_card
from metaprior.checkpoint import versions
from metaprior.files import write_text
from metaprior.tasks import CIFARFS, Corrupted, Glyphs, Omniglot, TaskSource

HERE = Path(__file__).parent
ORDER = (
    "hypernet,templates",
    "hypernet,code",
    "hypernet,heads",
    "hypernet,free",
    "maml",
    "maml,wider",
    "meta_sgd",
    "cavia",
    "hypermaml",
)


class Grey(TaskSource):
    """The tasks of CIFAR-FS without colour, in images of 28 x 28 pixels, as Omniglot's are."""

    def __init__(self, source):
        self.source = source

    def sample(self, tasks, generator, split="train"):
        """Draw tasks of the source and turn their images grey."""

        def grey(examples):
            images = examples.x.mean(2, keepdim=True)
            small = functional.interpolate(images.flatten(0, 1), size=28, mode="area")
            return replace(examples, x=small.unflatten(0, images.shape[:2]))

        episode = self.source.sample(tasks, generator, split)
        return replace(episode, support=grey(episode.support), query=grey(episode.query))


def tests(name):
    """Return what priors of a source are tested on: tasks, and how many of them."""
    kind = {"omniglot": Omniglot, "cifarfs": CIFARFS}[name]
    one, five = (kind(ways=5, shots=shots, queries=3) for shots in (1, 5))
    chosen = {
        "1 shot": (one, 600),
        "5 shots": (five, 600),
        "1 shot, noise 0.3": (Corrupted(one, noise=0.3), 600),
        "1 shot, turned up to 45 degrees": (Corrupted(one, rotation=45.0), 600),
        "5 shots, 2 labels of 10 wrong": (Corrupted(five, wrong_labels=0.2), 600),
    }
    if name == "omniglot":
        chosen["1 shot, printed glyphs"] = (Glyphs(ways=5, shots=1, queries=3), 600)
        chosen["1 shot, CIFAR-FS in grey"] = (Grey(CIFARFS(ways=5, shots=1, queries=3)), 600)
    return {label: source.test_set(tasks, seed=0) for label, (source, tasks) in chosen.items()}


def score(folder, scored):
    """Yield rows: a prior of one seed on one test; what `scored` holds already is not computed again."""
    for source in ("omniglot", "cifarfs"):
        finished = sorted(folder.glob(f"*-{source}-*/finished"))
        sets = tests(source) if finished else {}
        for run in (mark.parent for mark in finished):
            name, _, seed = run.name.rsplit("-", 2)
            for label, test in sets.items():
                if (name, source, seed, label) in scored:
                    continue
                result, card = evaluate(load(run), test), read_card(run)
                print(f"{source} {name} {seed} {label}: {result}", flush=True)
                spent = {"acquire_steps": card["step"], "acquire_seconds": card["seconds"]}
                where = {"prior": name, "source": source, "seed": seed, "test": label}
                yield where | result.row() | spent | {"scores": [round(value, 4) for value in result.scores.tolist()]}


def pooled(rows):
    """Return the rows of all seeds as one: the mean, its interval over tasks, and the mean of each seed."""
    together = defaultdict(list)
    for row in rows:
        together[row["prior"], row["source"], row["test"]].append(row)
    for group in together.values():
        scores = torch.tensor([row["scores"] for row in group]).mean(0)
        yield {key: value for key, value in group[0].items() if key not in ("scores", "seed", "transductive")} | {
            "mean": scores.mean().item(),
            "interval_95": 1.96 * scores.std().item() / len(scores) ** 0.5,
            "seeds": [row["mean"] for row in group],
            "adapt_seconds": min(row["adapt_seconds"] for row in group),
            "acquire_seconds": sum(row["acquire_seconds"] for row in group) / len(group),
        }


def table(rows, source):
    """Return the rows of one source as Markdown."""
    rows = [row for row in rows if row["source"] == source]
    labels = list(dict.fromkeys(row["test"] for row in rows))
    known = {(row["prior"], row["test"]): row for row in rows}
    head = ["prior", *labels, "parameters", "adapted", "acquired in", "adapts in"]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for name in ORDER:
        if (name, labels[0]) not in known:
            continue
        first = known[name, labels[0]]
        cells = [
            f"{100 * (row := known[name, label])['mean']:.1f} ± {100 * row['interval_95']:.1f}" for label in labels
        ]
        cells += [f"{first['parameters']:,}", f"{first['state_bytes'] // 4:,}"]
        cells += [f"{first['acquire_steps']:,} steps, {first['acquire_seconds']:.0f} s"]
        cells += [f"{1000 * first['adapt_seconds']:.0f} ms"]
        lines.append(f"| {' | '.join([name, *cells])} |")
    return "\n".join(lines) + "\n"


def main():
    """Write `result.json` and `table.md` beside this file; the scores of each task stay with the runs."""
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    kept = folder / "scores.json"
    rows = json.loads(kept.read_text()) if kept.exists() else []
    for row in score(folder, {(row["prior"], row["source"], row["seed"], row["test"]) for row in rows}):
        rows.append(row)
        write_text(kept, json.dumps(rows))
    result = list(pooled(rows))
    write_text(HERE / "result.json", json.dumps({"versions": versions(), "seed": 0, "rows": result}, indent=1) + "\n")
    parts = [f"{source}\n\n{table(result, source)}" for source in dict.fromkeys(row["source"] for row in result)]
    write_text(HERE / "table.md", "\n".join(parts))


if __name__ == "__main__":
    main()
