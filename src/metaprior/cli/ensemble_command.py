"""`metaprior ensemble`: several acquired priors as one."""

from collections.abc import Sequence

from metaprior.checkpoint import load, read_card, save
from metaprior.cli.arguments import Parser
from metaprior.cli.display import console
from metaprior.ensemble import Ensemble
from metaprior.errors import MetapriorError

__all__ = ["run"]

_SHARED = ("spec", "inputs")
"""What a prior takes and gives, of which its card speaks."""
_OWN = ("seed", "step", "seconds", "data_hash")


def run(words: Sequence[str]) -> None:
    """Save priors that were acquired apart, by their seeds for example, as one that averages what they predict."""
    parser = Parser("ensemble", "Make one prior of several, which averages what they predict.")
    options = parser.options
    options.add_argument("runs", nargs="+", help="run folders, checkpoint files or zoo:NAME, for the same tasks")
    options.add_argument("--out", type=str, required=True, help="a folder or a file for what they make together")
    parsed = parser.parse(words)
    cards = {run: read_card(run) for run in parsed.runs}
    first, *others = cards
    for run in others:
        for key in _SHARED:
            if cards[run].get(key) != cards[first].get(key):
                raise MetapriorError(f"runs: expected priors for the same tasks; {run} differs from {first} in {key}")
    ensemble = Ensemble([load(run) for run in parsed.runs])
    shared = {key: cards[first][key] for key in ("tasks", "stream", *_SHARED) if key in cards[first]}
    spent = {key: sum(card.get(key, 0) for card in cards.values()) for key in ("step", "seconds")}
    acquired = [{"run": run} | {key: card[key] for key in _OWN if key in card} for run, card in cards.items()]
    file = save(ensemble, parsed.out, **shared, **spent, members=acquired)
    console.print(f"{file}: {len(parsed.runs)} priors, whose predictions are averaged")
    console.print(f"Next: metaprior evaluate {parsed.out}")
