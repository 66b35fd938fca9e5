"""The choices that several commands share."""

from metaprior.cli.arguments import Choice
from metaprior.errors import MetapriorError
from metaprior.prior import Prior
from metaprior.registry import nets, priors, sources

__all__ = ["NET", "PRIOR", "TASKS", "to_device"]

PRIOR = Choice("prior", priors, skip=("net", "outputs", "pool", "features", "regression", "x_shape"))
TASKS = Choice("tasks", sources, shorthand={"images": "folder", "table": "file"})
NET = Choice("net", nets, skip=("net", "channels", "size", "inputs", "outputs", "seed"))


def to_device(prior: Prior, device: str) -> Prior:
    """Move a prior to a device, or say that there is none of that name."""
    try:
        return prior.to(device)
    except (RuntimeError, AssertionError) as error:
        raise MetapriorError(f"--device: '{device}' cannot be used here: {str(error).splitlines()[0]}") from error
