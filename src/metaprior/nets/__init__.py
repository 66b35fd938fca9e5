"""Plain networks for priors to wrap; any other `torch.nn.Module` serves as well."""

import inspect
import math
from typing import Any

from torch import nn

from metaprior.errors import MetapriorError
from metaprior.nets.apply import apply, apply_per_task, best_chunk, has_convolutions
from metaprior.nets.conv4 import Conv4
from metaprior.nets.convnet import ConvNet
from metaprior.nets.initialise import initialise, uninitialised
from metaprior.nets.layout import channels_last
from metaprior.nets.mlp import MLP
from metaprior.nets.norm import BatchNorm, builtin_norms, replace_builtin_norms, task_statistics
from metaprior.nets.resnet12 import ResNet12
from metaprior.nets.transformer import Transformer
from metaprior.nets.unet import UNet
from metaprior.registry import nets
from metaprior.tasks.episode import TaskSpec

__all__ = [
    "MLP",
    "BatchNorm",
    "Conv4",
    "ConvNet",
    "ResNet12",
    "Transformer",
    "UNet",
    "apply",
    "apply_per_task",
    "best_chunk",
    "builtin_norms",
    "channels_last",
    "default_net",
    "has_convolutions",
    "initialise",
    "net_for",
    "replace_builtin_norms",
    "task_statistics",
    "uninitialised",
    "width_of",
]


def default_net(spec: TaskSpec, outputs: int | None, seed: int = 0, batch_norm: bool = True) -> nn.Module:
    """Return the network that a prior gets when none is asked for.

    That is the one that inputs are for, if there is one; else Conv4 for images, ConvNet for tiny ones, UNet where
    pixels are to be labelled, a field where rays are to be followed, Transformer for token ids, and else an MLP.

    Args:
        spec: the tasks that the network is for.
        outputs: the width of its head, or None for features without a head.
        seed: of the initial weights.
        batch_norm: whether it may have batch norm; it has group norm if it otherwise would.

    Example:
        >>> default_net(TaskSpec("regression", (1,), 1), outputs=1).hidden
        (40, 40)
    """
    if spec.net == "ensemble":
        raise MetapriorError(
            "net: the inputs of these tasks are for 'ensemble' alone; expected members with a network each"
        )
    if spec.net is not None:
        return net_for(spec.net, spec, headless=outputs is None, seed=seed)
    if spec.kind == "rays":
        return nets["field"](seed=seed)
    if spec.kind == "segmentation":
        return UNet(spec.x_shape[0], outputs, seed=seed)
    if spec.is_image:
        channels, size, _ = spec.x_shape
        if size < 16:
            return ConvNet(channels, size, outputs, seed=seed)
        return Conv4(channels, size, outputs, norm="batch" if batch_norm else "group", seed=seed)
    inputs = math.prod(spec.x_shape)
    if spec.tokens is not None:
        return Transformer(inputs, len(spec.tokens), outputs, seed=seed)
    return MLP(inputs, outputs, hidden=(40, 40) if inputs == 1 else (128, 128), seed=seed)


def net_for(
    name: str, spec: TaskSpec, headless: bool, seed: int = 0, batch_norm: bool = True, **arguments: Any
) -> nn.Module:
    """Build a registered network of a shape that fits some tasks.

    Args:
        name: of the network.
        spec: the tasks that it is for.
        headless: whether it should end with features instead of outputs.
        seed: of the initial weights.
        batch_norm: whether it may have batch norm; it has group norm if it otherwise would.
        arguments: further constructor arguments.

    Raises:
        MetapriorError: if the network takes images or tokens and the tasks have none, or inputs are for another one
            alone, or it is made of another network, or labels pixels where the tasks are of something else, or the
            other way round.

    Example:
        >>> net_for("conv4", TaskSpec("classification", (1, 28, 28), 5), headless=True, width=8).features
        8
    """
    cls = nets[name]
    wanted = inspect.signature(cls).parameters
    if "net" in wanted:
        raise MetapriorError(f"net: '{name}' is made of another network; name that one, and the prior 'hypernet'")
    if "channels" in wanted and not spec.is_image:
        raise MetapriorError(f"net: '{name}' takes images; the inputs of these tasks have the shape {spec.x_shape}")
    if spec.net not in (None, name):
        raise MetapriorError(f"net: the inputs of these tasks are for '{spec.net}' alone, got '{name}'")
    if "tokens" in wanted and spec.tokens is None:
        raise MetapriorError(f"net: '{name}' takes token ids, and the inputs of these tasks are none")
    if getattr(cls, "labels_pixels", False) != (spec.kind == "segmentation"):
        does = "labels pixels" if spec.kind != "segmentation" else "does not label pixels"
        raise MetapriorError(f"net: '{name}' {does}; these are {spec.kind} tasks")
    fitting: dict[str, Any] = {
        "inputs": math.prod(spec.x_shape),
        "outputs": None if headless else spec.outputs,
        "seed": seed,
    }
    if spec.is_image:
        fitting |= {"channels": spec.x_shape[0], "size": spec.x_shape[-1]}
    if spec.tokens is not None:
        fitting["tokens"] = len(spec.tokens)
    if spec.text_size is not None:
        fitting["text_size"] = spec.text_size
    if not batch_norm and "norm" in wanted and wanted["norm"].default == "batch":
        fitting["norm"] = "group"
    return cls(**({key: value for key, value in fitting.items() if key in wanted} | arguments))


def width_of(net: nn.Module, name: str = "net") -> int:
    """Return how many features a network gives, by its attribute `features`.

    Raises:
        MetapriorError: if it has none; it names the argument.

    Example:
        >>> width_of(MLP(inputs=3, hidden=(8,)))
        8
    """
    features = getattr(net, "features", None)
    if not isinstance(features, int):
        raise MetapriorError(f"{name}: expected a network with an attribute `features`, the width of its output")
    return features
