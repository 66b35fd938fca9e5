"""Plain networks for priors to wrap; any other `torch.nn.Module` serves as well."""

from torch import nn

from metaprior.nets.apply import apply, apply_per_task, best_chunk, has_convolutions
from metaprior.nets.conv4 import Conv4
from metaprior.nets.initialise import initialise, uninitialised
from metaprior.nets.layout import channels_last
from metaprior.nets.mlp import MLP
from metaprior.nets.norm import BatchNorm, builtin_norms, replace_builtin_norms, task_statistics
from metaprior.nets.resnet12 import ResNet12
from metaprior.tasks.episode import TaskSpec

__all__ = [
    "MLP",
    "BatchNorm",
    "Conv4",
    "ResNet12",
    "apply",
    "apply_per_task",
    "best_chunk",
    "builtin_norms",
    "channels_last",
    "default_net",
    "has_convolutions",
    "initialise",
    "replace_builtin_norms",
    "task_statistics",
    "uninitialised",
]


def default_net(spec: TaskSpec, outputs: int | None, seed: int = 0) -> nn.Module:
    """Return the network that a prior gets when none is asked for: Conv4 for images, else an MLP.

    Args:
        spec: the tasks that the network is for.
        outputs: the width of its head, or None for features without a head.
        seed: of the initial weights.

    Example:
        >>> default_net(TaskSpec("regression", (1,), 1), outputs=1).hidden
        (40, 40)
    """
    if spec.is_image:
        channels, size, _ = spec.x_shape
        return Conv4(channels, size, outputs, seed=seed)
    inputs = 1
    for axis in spec.x_shape:
        inputs *= axis
    return MLP(inputs, outputs, hidden=(40, 40) if inputs == 1 else (128, 128), seed=seed)
