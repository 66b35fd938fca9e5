"""Checks of what checkpoints rely on: arguments stored under their own names, priors and states that survive a disk."""

import copy
import json
import tempfile
from pathlib import Path

import torch

from metaprior.checkpoint import load, load_state, save, save_state
from metaprior.errors import MetapriorError
from metaprior.prior import Prior
from metaprior.registry import arguments, build, describe
from metaprior.testing.case import Case, adapted, check, demand
from metaprior.tree import Tree, tensors

__all__: list[str] = []


def _described(prior: Prior) -> dict:
    try:
        return describe(prior)
    except (MetapriorError, AttributeError) as error:
        raise AssertionError(f"constructor: every argument must be stored under its own name; {error}") from error


@check
def check_arguments(case: Case) -> None:
    """The class is registered, and its name and stored arguments rebuild an equal object."""
    prior = case.prior()
    description = _described(prior)
    again = json.loads(json.dumps(description))
    if "foreign" in json.dumps(description):
        again["arguments"] = {k: getattr(prior, k) if _foreign(v) else v for k, v in again["arguments"].items()}
    rebuilt = build(again)
    demand(type(rebuilt) is type(prior), f"constructor: rebuilding gave a {type(rebuilt).__name__}")
    for name, value in _described(rebuilt)["arguments"].items():
        was = description["arguments"][name]
        demand(value == was, f"constructor: '{name}' must be stored as it was given; it was {was}, rebuilt {value}")
    shapes = [(name, tuple(value.shape)) for name, value in prior.state_dict().items()]
    others = [(name, tuple(value.shape)) for name, value in rebuilt.state_dict().items()]
    demand(shapes == others, f"constructor: the arguments must settle the parameters; {shapes} became {others}")


def _foreign(value: object) -> bool:
    return isinstance(value, dict) and "foreign" in value


@check
def check_prior_on_disk(case: Case) -> None:
    """A prior read back from its checkpoint predicts the same, to the bit."""
    prior, episode = case.prior(torch.float32), case.episode(dtype=torch.float32)
    with torch.no_grad():
        # Other weights than the constructor draws, so that a checkpoint without them is noticed.
        for parameter in prior.parameters():
            parameter.mul_(0.75)
    foreign = _foreign(_described(prior)["arguments"].get("net"))
    with tempfile.TemporaryDirectory() as folder:
        save(prior, folder)
        again = load(folder, net=copy.deepcopy(prior.net) if foreign else None)  # type: ignore[arg-type]
    differ = [name for name, value in arguments(again).items() if not _equal(value, arguments(prior)[name])]
    demand(not differ, f"save, load: the arguments {differ} came back changed")
    for when, belief in (("start", lambda p: p.start(episode.tasks)), ("observe", lambda p: adapted(p, episode))):
        same = torch.equal(again.predict(belief(again), episode.query.x), prior.predict(belief(prior), episode.query.x))
        demand(same, f"save, load: the prior must predict the same, to the bit, after {when}")


def _equal(left: object, right: object) -> bool:
    if isinstance(left, torch.nn.Module):
        return type(left) is type(right)
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(map(_equal, left, right))
    return left == right


@check
def check_state_on_disk(case: Case) -> None:
    """A state read back from disk has the same types and values, to the bit."""
    for tasks in (3, 1):
        prior, episode = case.prior(torch.float32), case.episode(tasks, dtype=torch.float32)
        start = prior.start(tasks, episode.about)
        for when, state in (("start", start), ("observe", prior.observe(start, episode.support))):
            try:
                with tempfile.TemporaryDirectory() as folder:
                    save_state(prior, state, Path(folder) / "state.safetensors")
                    again = load_state(prior, Path(folder) / "state.safetensors")
            except (MetapriorError, TypeError, KeyError, IndexError, RuntimeError) as error:
                raise AssertionError(
                    f"save_state, load_state: a state must be tensors in dicts, tuples or named tuples of start's own "
                    f"types; after {when}: {error}"
                ) from error
            same = _types(again) == _types(state) and all(
                left.dtype == right.dtype and torch.equal(left, right)
                for left, right in zip(tensors(again), tensors(state), strict=True)
            )
            demand(same, f"save_state, load_state: the state after {when} came back changed")
            told = prior.predict(again, episode.query.x), prior.predict(state, episode.query.x)
            demand(torch.equal(*told), f"save_state, load_state: the state after {when} must predict the same")


def _types(tree: Tree) -> object:
    if isinstance(tree, dict):
        return {key: _types(value) for key, value in tree.items()}
    if isinstance(tree, tuple):
        return (type(tree), [_types(value) for value in tree])
    return type(tree) if tree is None else torch.Tensor
