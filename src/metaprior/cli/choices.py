"""The choices that several commands share."""

import torch

from metaprior.cli.arguments import Choice
from metaprior.errors import MetapriorError
from metaprior.registry import nets, priors, sources

__all__ = ["NET", "PRIOR", "TASKS", "to_device"]

PRIOR = Choice("prior", priors, skip=("net", "outputs", "pool"))
TASKS = Choice("tasks", sources, shorthand={"images": "folder", "table": "file"})
NET = Choice("net", nets, skip=("channels", "size", "inputs", "outputs", "seed"))


def to_device(module: torch.nn.Module, device: str) -> torch.nn.Module:
    """Move a module to a device, or say that there is none of that name."""
    try:
        return module.to(device)
    except (RuntimeError, AssertionError) as error:
        raise MetapriorError(f"--device: '{device}' cannot be used here: {str(error).splitlines()[0]}") from error
