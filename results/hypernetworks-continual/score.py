"""Learn sequences of tasks and score all of them at the end: `python results/hypernetworks-continual/score.py`."""

import json
from functools import partial
from pathlib import Path

import torch

from metaprior import ContinualHypernet
from metaprior.checkpoint import versions
from metaprior.controls.tuning import tune
from metaprior.files import write_text
from metaprior.nets import MLP, apply_per_task
from metaprior.tasks import permuted_glyphs, split_digits
from metaprior.tasks.scores import task_scores

HERE = Path(__file__).parent
STEPS = 300
SEEDS = (0, 1, 2)
KINDS = {
    "hypernetwork, penalty 1": {"penalty": 1.0},
    "hypernetwork, penalty 0.1": {"penalty": 0.1},
    "hypernetwork, penalty 0": {"penalty": 0.0},
    "intervals of half width 0.1, penalty 1": {"penalty": 1.0, "half_width": 0.1},
}


def sequences(seed):
    """Return each sequence with the network that learns it; the seed decides characters, pixels and initial weights."""
    return {
        "split digits": (split_digits(), MLP(64, 2, hidden=(64, 64), seed=seed)),
        "permuted glyphs": (permuted_glyphs(shots=15, seed=seed), MLP(784, 10, hidden=(64, 64), seed=seed)),
    }


def mean(values):
    """Return the mean of a list of numbers."""
    return sum(values) / len(values)


def accuracy(net, weights, episode):
    """Return the accuracy of one network on the queries of a task."""
    return task_scores(apply_per_task(net, weights, episode.query.x)[0], episode.query).item()


def hypernetwork(sequence, net, **settings):
    """Return accuracies of a continual hypernetwork: of a task when it was learned, and of all at the end."""
    prior = ContinualHypernet(net, steps=STEPS, **settings)
    state, fresh = prior.start(1), []

    def hits(state, episode):
        return task_scores(prior.predict(state, episode.query.x), episode.query).item()

    for episode in sequence:
        state = prior.observe(state, episode.support)
        fresh.append(hits(state, episode))
    guesses = [task_scores(prior.guess(state, episode.query.x)[0], episode.query).item() for episode in sequence]
    return {
        "fresh": mean(fresh),
        "told": mean([hits(prior.recall(state, task), episode) for task, episode in enumerate(sequence)]),
        "guessed": mean(guesses),
        "one_for_all": mean([hits(prior.universal(state), episode) for episode in sequence]),
    }


def plain(sequence, net):
    """Return accuracies of one network that is trained on one task after the other."""
    weights, fresh = {name: value[None] for name, value in net.named_parameters()}, []
    for episode in sequence:
        weights, _ = tune(net, weights, episode.support, STEPS, 1e-3)
        fresh.append(accuracy(net, weights, episode))
    return {"fresh": mean(fresh), "one_for_all": mean([accuracy(net, weights, episode) for episode in sequence])}


def together(sequence, net):
    """Return accuracies of one network that is trained on all tasks at once: what forgetting nothing would give."""
    joined = sequence[0].support
    for episode in sequence[1:]:
        joined = joined.joined(episode.support)
    weights = {name: value[None] for name, value in net.named_parameters()}
    weights, _ = tune(net, weights, joined, STEPS * len(sequence), 1e-3)
    return {"one_for_all": mean([accuracy(net, weights, episode) for episode in sequence])}


def main():
    """Write `result.json` and `table.md` beside this file."""
    torch.set_num_threads(1)
    rows = []
    for name in sequences(0):
        ways = {kind: partial(hypernetwork, **settings) for kind, settings in KINDS.items()}
        ways |= {"one network, one task after the other": plain, "one network, all at once": together}
        for kind, learn in ways.items():
            found = [learn(*sequences(seed)[name]) for seed in SEEDS]
            rows.append({"sequence": name, "learner": kind, "seeds": found})
            print(name, kind, found, flush=True)
    result = {"versions": versions(), "steps": STEPS, "rows": rows}
    write_text(HERE / "result.json", json.dumps(result, indent=1) + "\n")
    write_text(HERE / "table.md", table(rows))


def table(rows):
    """Return the rows as Markdown: percentages, means over seeds with the least and most."""
    columns = {
        "fresh": "just learned",
        "told": "at the end, told the task",
        "guessed": "guessing it",
        "one_for_all": "one network for all",
    }
    lines = [f"| sequence | learner | {' | '.join(columns.values())} |", "|" + " --- |" * (len(columns) + 2)]
    for row in rows:
        cells = []
        for column in columns:
            values = [100 * seed[column] for seed in row["seeds"] if column in seed]
            cells.append(f"{mean(values):.1f} ({min(values):.1f} to {max(values):.1f})" if values else "")
        lines.append(f"| {row['sequence']} | {row['learner']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
