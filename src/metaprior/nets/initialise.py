"""Initial weights from an explicit seed, since building a network must not touch the global random state."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from metaprior.nets.layout import channels_last

__all__ = ["initialise", "uninitialised"]

Module = TypeVar("Module", bound=nn.Module)


def uninitialised(layer: Callable[..., Module], *args: int, **kwargs: object) -> Module:
    """Build a layer of torch and leave the global random state as it was; weights that come from a seed must follow."""
    # Not `nn.utils.skip_init`: what it draws on takes a second to import.
    with torch.random.fork_rng(devices=()):
        return layer(*args, **kwargs)


def initialise(net: nn.Module, seed: int) -> None:
    """Draw the weights of every convolution and linear layer from a seed; biases become zero.

    Source: He et al. 2015 (arXiv 1502.01852), eq. 10, uniform form; for a last layer, that is one not followed by a
    rectifier, the variance is halved as in Glorot and Bengio 2010 by building it with the name `head`.

    Example:
        >>> layer = uninitialised(nn.Linear, 2, 2)
        >>> initialise(layer, seed=0)
        >>> layer.bias
        Parameter containing:
        tensor([0., 0.], requires_grad=True)
    """
    generator = torch.Generator().manual_seed(seed)
    for name, module in net.named_modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            fan_in = module.weight[0].numel()
            bound = (3.0 / fan_in if name.endswith("head") else 6.0 / fan_in) ** 0.5
            with torch.no_grad():
                module.weight.copy_(torch.rand(module.weight.shape, generator=generator).mul_(2 * bound).sub_(bound))
                if module.bias is not None:
                    module.bias.zero_()
            if isinstance(module, nn.Conv2d):
                module.weight = nn.Parameter(channels_last(module.weight.detach()))
