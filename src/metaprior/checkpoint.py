"""Priors and states on disk: safetensors with a JSON card in the header, written whole or not at all, no pickle."""

import copy
import json
import platform
from collections.abc import Mapping
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from metaprior.errors import CheckpointError, MetapriorError, ShapeError, UnknownNameError
from metaprior.files import check_writable, write_tensors
from metaprior.prior import Prior
from metaprior.registry import build, describe
from metaprior.tree import Tree, fingerprint, map_tensors, pack, tensors, unpack

__all__ = ["FORMAT", "Card", "load", "load_state", "read_card", "resolve", "save", "save_state", "versions", "zoo"]

FORMAT = 1
"""The version of the file format that this version of the library writes, and the newest that it reads."""

FILE = "prior.safetensors"

Card = Mapping[str, Any]
"""What a checkpoint says of itself: how to rebuild the prior, what it was acquired on, and what it scored."""


def versions() -> dict[str, str]:
    """Return the versions of this library, of torch and of Python."""
    return {
        "metaprior": metadata.version("metaprior"),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }


def save(prior: Prior, path: str | Path, half: bool = False, **facts: Any) -> Path:
    """Write a prior, to a file or to `prior.safetensors` in a folder.

    Args:
        prior: any registered prior; a network that is not registered must be given again to `load`.
        path: a file name that ends in `.safetensors`, or a folder.
        half: write weights in half precision, which takes half the space and costs all but three digits; they are
            single again when they are read.
        facts: what else the card should say, ready for JSON.

    Returns:
        The file.

    Raises:
        CheckpointError: if a weight is too large for half precision.

    Example:
        >>> import tempfile
        >>> from metaprior import MAML, load
        >>> from metaprior.nets import MLP
        >>> path = save(MAML(MLP(1, 1)), tempfile.mkdtemp())
        >>> load(path).inner_steps
        1
    """
    path = _file(path)
    card = {"format": FORMAT, **describe(prior), "versions": versions(), **facts}
    named = {name: value.detach().cpu() for name, value in prior.state_dict().items()}
    if half:
        card["half"] = True
        named = {name: value.half() if value.is_floating_point() else value for name, value in named.items()}
        if wrong := [name for name, value in named.items() if not bool(value.isfinite().all())]:
            raise CheckpointError(f"{path}: {wrong[0]} has values beyond half precision; expected half=False")
    write_tensors(path, named, _header(card))
    return path


def load(path: str | Path, net: nn.Module | None = None, device: str | torch.device = "cpu") -> Prior:
    """Read a prior, in evaluation mode.

    Args:
        path: a folder that `acquire` wrote, a checkpoint file, or `zoo:NAME` for a prior that comes with the library.
        net: the network, if it is of a class that no registry knows.
        device: where to put the prior.

    Raises:
        CheckpointError: if the file is missing, damaged, foreign, a pickle, or from a newer version.

    Example:
        >>> load("zoo:omniglot-protonet").ways
        5
    """
    path = _file(path)
    named, card = _read(path)
    if card.get("half"):
        named = {name: value.float() if value.is_floating_point() else value for name, value in named.items()}
    description = {key: card[key] for key in ("prior", "arguments") if key in card}
    if len(description) != 2:
        raise CheckpointError(f"{path}: expected a prior, found a checkpoint of {sorted(card)}")
    if not isinstance(card["prior"], str) or not isinstance(card["arguments"], Mapping):
        raise CheckpointError(f"{path}: its card is damaged")
    foreign = description["arguments"].get("net")
    if isinstance(foreign, Mapping) and "foreign" in foreign:
        if net is None:
            raise CheckpointError(
                f"{path}: the prior wraps a {foreign['foreign']}, which no registry knows: "
                "build the network and pass it as metaprior.load(path, net=...)"
            )
        description["arguments"] = {**description["arguments"], "net": net}
    try:
        prior = build(description)
        precisions = {value.dtype for value in named.values() if value.is_floating_point()}
        if len(precisions) == 1:
            prior.to(precisions.pop())
        prior.load_state_dict(named)
    except (MetapriorError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path}: does not fit this version of the library: {error}") from error
    prior.recorded_inputs = card.get("inputs")
    return prior.to(device).eval()


def resolve(prior: Prior | str | Path) -> tuple[Prior, Card]:
    """Return a prior of one's own in evaluation mode, and its card: a copy of one that is given, or one from a file.

    Raises:
        MetapriorError: if it is neither a prior nor a path.
        CheckpointError: as `load` does.

    Example:
        >>> resolve("zoo:omniglot-protonet")[1]["prior"]
        'protonet'
    """
    if isinstance(prior, Prior):
        # A copy, so that acquiring the prior further does not change what was adapted.
        return copy.deepcopy(prior).eval(), {}
    if isinstance(prior, (str, Path)):
        return load(prior), read_card(prior)
    raise MetapriorError(f"prior: expected a prior, a path or 'zoo:NAME', got a {type(prior).__name__}")


def read_card(path: str | Path) -> Card:
    """Return what a checkpoint says of itself, without its weights.

    Raises:
        CheckpointError: as `load` does.
    """
    return _read(_file(path), tensors_too=False)[1]


def save_state(prior: Prior, state: Tree, path: str | Path) -> None:
    """Write a belief of `prior`, so that another machine can go on from it.

    The prior itself is not written, but digits that stand for its weights are.

    Raises:
        ShapeError: if it is a belief of another network.
        UnknownNameError: if it is one of another kind of prior.
        DataError: if the file cannot be written.

    Example:
        >>> import tempfile
        >>> from metaprior import MAML
        >>> from metaprior.nets import MLP
        >>> prior, file = MAML(MLP(1, 1)), Path(tempfile.mkdtemp()) / "state.safetensors"
        >>> save_state(prior, prior.start(3), file)
        >>> load_state(prior, file).weights["head.bias"].shape
        torch.Size([3, 1])
    """
    named, structure = pack(state)
    rebuilt = unpack(named, structure, _named_tuples(prior.start(1)))
    try:
        prior.check_state(rebuilt)
    except (AttributeError, KeyError, TypeError) as error:
        raise ShapeError(f"state: expected a belief of this {type(prior).__name__}, got {structure}") from error
    check_writable(path, "path")
    card = {"format": FORMAT, "state": structure, "weights": fingerprint(prior.state_dict())}
    write_tensors(Path(path), named, _header(card))


def load_state(prior: Prior, path: str | Path) -> Tree:
    """Read a belief of `prior` that `save_state` wrote.

    Raises:
        CheckpointError: as `load` does, and if it is a belief of another prior, or of one with other weights.
    """
    named, card = _read(Path(path))
    if "state" not in card:
        raise CheckpointError(f"{path}: expected a state, found a checkpoint of {sorted(card)}")
    start = prior.start(1)
    try:
        state = unpack(named, card["state"], _named_tuples(start))
    except UnknownNameError as error:
        raise CheckpointError(f"{path}: holds no belief of a {type(prior).__name__}: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: is damaged ({error!r})") from error
    try:
        prior.check_state(state)
    except ShapeError as error:
        raise CheckpointError(f"{path}: holds a belief of another network: {error}") from error
    if card.get("weights") != fingerprint(prior.state_dict()):
        raise CheckpointError(f"{path}: holds a belief of a {type(prior).__name__} with other weights than this one")
    device = next((leaf.device for leaf in tensors(start)), torch.device("cpu"))
    # Copies: where a tensor begins in a file decides, on some processors, the last digits of what follows from it.
    return map_tensors(lambda leaf: leaf.to(device, copy=True), state)


def zoo() -> dict[str, Card]:
    """Return the cards of the priors that come with the library, by name."""
    folder = Path(str(resources.files("metaprior"))) / "zoo"
    return {file.stem: read_card(file) for file in sorted(folder.glob("*.safetensors"))}


def _file(path: str | Path) -> Path:
    text = str(path)
    if text.startswith("zoo:"):
        name = text.removeprefix("zoo:")
        file = Path(str(resources.files("metaprior") / "zoo" / f"{name}.safetensors"))
        if not file.is_file():
            raise UnknownNameError("prior of the zoo", name, zoo())
        return file
    path = Path(path)
    return path if path.suffix == ".safetensors" else path / FILE


def _header(card: Card) -> dict[str, str]:
    return {"metaprior": json.dumps(card)}


def _read(path: Path, tensors_too: bool = True) -> tuple[dict[str, Tensor], Card]:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get("metaprior")
            if header is None:
                raise CheckpointError(f"{path}: is safetensors, but not a checkpoint of metaprior")
            card = json.loads(header)
            if not isinstance(card, dict) or type(card.get("format")) is not int or card["format"] < 1:
                raise CheckpointError(f"{path}: its card is damaged")
            if card["format"] > FORMAT:
                raise CheckpointError(
                    f"{path}: has format {card['format']}, from a newer version of metaprior; this one reads up to "
                    f"{FORMAT}: pip install --upgrade metaprior"
                )
            return ({name: file.get_tensor(name) for name in file.keys()} if tensors_too else {}), card  # noqa: SIM118
    except (SafetensorError, json.JSONDecodeError, OSError) as error:
        # Only now: the length that safetensors begin with can look like the first bytes of a pickle.
        with open(path, "rb") as file:
            beginning = file.read(2)
        if beginning == b"PK" or beginning[:1] == b"\x80":
            raise CheckpointError(f"{path}: is a pickle, which could run any code; expected safetensors") from error
        raise CheckpointError(f"{path}: is damaged or no checkpoint ({error})") from error


def _named_tuples(tree: Tree) -> tuple[type, ...]:
    if isinstance(tree, tuple):
        own = (type(tree),) if hasattr(tree, "_fields") else ()
        return own + tuple(cls for part in tree for cls in _named_tuples(part))
    if isinstance(tree, dict):
        return tuple(cls for part in tree.values() for cls in _named_tuples(part))
    return ()
