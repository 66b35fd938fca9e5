"""Score the acquired priors and the controls on fixed sinusoids: `python results/sinusoid/score.py RUNS`."""

import json
import sys
from pathlib import Path

import torch

from metaprior import FineTune, Frozen, Scratch, evaluate, load, read_card
from metaprior.checkpoint import versions
from metaprior.files import write_text
from metaprior.nets import MLP
from metaprior.registry import arguments, priors
from metaprior.tasks import Sinusoid

HERE = Path(__file__).parent
RANGES = {"in distribution (0.1, 5)": (0.1, 5.0), "out of distribution (5, 8)": (5.0, 8.0)}


def contestants(runs):
    """Yield name, prior and card; gradient-based priors with 1 and with 10 steps at test time."""
    for folder in (runs / name for name in ("ridge", "meta_sgd", "maml")):
        prior, card = load(folder), read_card(folder)
        # Step sizes that were acquired for one step are for one step.
        for steps in {"maml": (1, 10), "meta_sgd": (1,)}.get(folder.name, (None,)):
            if steps is not None:
                prior.test_steps = steps
            yield folder.name + (f", {steps} step{'s' if steps > 1 else ''}" if steps else ""), prior, card
    pooled, card = load(runs / "fine_tune"), read_card(runs / "fine_tune")
    # The best of 20, 100 and 300 steps of three sizes, on validation tasks.
    for cls, size in ((FineTune, 0.001), (Frozen, 0.01)):
        control = cls(**(arguments(pooled) | {"steps": 300, "learning_rate": size}))
        control.load_state_dict(pooled.state_dict(), strict=False)
        yield f"{priors.name_of(cls)} (control), 300 Adam steps", control.eval(), card
    scratch = Scratch(MLP(1, 1), steps=200, learning_rate=0.01)
    yield "scratch (control), 200 Adam steps", scratch, {"seconds": 0.0, "step": 0}


def main():
    """Write `result.json` and `table.md` beside this file."""
    torch.set_num_threads(1)
    rows = []
    for label, amplitude in RANGES.items():
        tests = Sinusoid(shots=10, amplitude=amplitude).test_set(1000, seed=0)
        for name, prior, card in contestants(Path(sys.argv[1])):
            result = evaluate(prior, tests)
            rows.append(
                {
                    "prior": name,
                    "amplitudes": label,
                    "acquire_seconds": card["seconds"],
                    "acquire_steps": card["step"],
                    **result.row(),
                }
            )
            print(f"{label} {name}: {result}", flush=True)
    write_text(HERE / "result.json", json.dumps({"versions": versions(), "seed": 0, "rows": rows}, indent=2) + "\n")
    lines = ["| amplitudes | prior | MSE, 95 % interval | acquired in |", "| --- | --- | --- | --- |"]
    for row in rows:
        score = f"{row['mean']:.3g} ± {row['interval_95']:.2g}"
        spent = f"{row['acquire_seconds']:.0f} s, {row['acquire_steps']:,} steps"
        lines.append(f"| {row['amplitudes']} | {row['prior']} | {score} | {spent} |")
    write_text(HERE / "table.md", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
