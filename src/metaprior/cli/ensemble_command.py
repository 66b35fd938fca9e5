"""`metaprior ensemble`: several acquired priors as one."""

from collections.abc import Mapping, Sequence
from typing import Any

from metaprior.checkpoint import load, read_card, save
from metaprior.cli.arguments import Parser
from metaprior.cli.display import console
from metaprior.ensemble import Ensemble
from metaprior.errors import MetapriorError

__all__ = ["run"]

_INPUTS = ("x_shape", "tokens", "net")
"""What the card says of inputs under `spec`."""
_OF_TRAINING = "pool"
"""What the card says under `spec` of the training tasks alone, which may be others for each."""
_OWN = ("seed", "step", "seconds", "data_hash")


def run(words: Sequence[str]) -> None:
    """Save priors that were acquired apart, by their seeds for example, as one that averages what they predict."""
    parser = Parser("ensemble", "Make one prior of several, which averages what they predict.")
    options = parser.options
    options.add_argument("runs", nargs="+", help="run folders, checkpoint files or zoo:NAME, for the same tasks")
    options.add_argument("--out", type=str, required=True, help="a folder or a file for what they make together")
    parsed = parser.parse(words)
    cards = {run: read_card(run) for run in parsed.runs}
    shared, columns = _shared(cards)
    ensemble = Ensemble([load(run) for run in parsed.runs], columns)
    spent = {key: sum(card.get(key, 0) for card in cards.values()) for key in ("step", "seconds")}
    acquired = [{"run": run} | {key: card[key] for key in _OWN if key in card} for run, card in cards.items()]
    file = save(ensemble, parsed.out, **shared, **spent, members=acquired)
    console.print(f"{file}: {len(parsed.runs)} priors, whose predictions are averaged")
    console.print(f"Next: metaprior evaluate {parsed.out}")


def _shared(cards: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, Any], list[tuple[int, int]] | None]:
    """Return what the cards have in common, and which input features each prior sees; None if all see all.

    Raises:
        MetapriorError: if they are for different tasks. Other featurisers are not other tasks.
    """
    first, *others = cards
    shared: dict[str, Any] = {
        key: cards[first][key] for key in ("tasks", "stream", "spec", "inputs") if key in cards[first]
    }
    featurised = all("featuriser" in (card.get("inputs") or {}) for card in cards.values())
    for run in others:
        spec, wanted = (cards[name].get("spec") or {} for name in (run, first))
        free = (_OF_TRAINING, *(_INPUTS if featurised else ()))
        if wrong := [name for name in {**spec, **wanted} if spec.get(name) != wanted.get(name) and name not in free]:
            raise MetapriorError(f"runs: expected priors for the same tasks; {run} differs from {first} in {wrong[0]}")
    if len({(card.get("spec") or {}).get(_OF_TRAINING) for card in cards.values()}) > 1:
        shared["spec"] = {**shared["spec"], _OF_TRAINING: None}
    if all(cards[run].get("inputs") == cards[first].get("inputs") for run in others):
        return shared, None
    if not featurised:
        raise MetapriorError(f"runs: expected priors for the same tasks; {first} has other inputs than the others")
    from metaprior.molecules.joining import joined_inputs

    inputs, columns = joined_inputs([card["inputs"] for card in cards.values()])
    spec = {**shared["spec"], "x_shape": [max(end for _, end in columns)], "tokens": None, "net": None}
    arguments = {**shared["tasks"]["arguments"], "featuriser": inputs["featuriser"]}
    return {**shared, "inputs": inputs, "spec": spec, "tasks": {**shared["tasks"], "arguments": arguments}}, columns
