"""Dynamic hypernetworks: a layer's weights are generated when its turn comes, from the code and from what reaches it.

Axis letters: N examples, F features, E code.
"""

from collections import defaultdict
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from metaprior.errors import MetapriorError
from metaprior.hyper.generators import GENERATORS
from metaprior.hyper.hypernetwork import Hypernetwork
from metaprior.nets.norm import seen_moments
from metaprior.registry import nets

__all__ = ["DynamicHypernetwork"]

_LEAST_VARIANCE = 1e-5


@nets.register("dynamic_hypernetwork")
class DynamicHypernetwork(Hypernetwork):
    """A hypernetwork that lets the activations of the layers already generated have a say in the next one.

    The code of a layer is the task's code, moved by a linear map of the mean and spread, over the examples of the task,
    of what reaches that layer; the first layer has the task's code alone. The map begins at zero. Queries meet the
    layers that the support set brought about, so that no prediction depends on other queries; before any example there
    are only the queries to go by.

    Takes the arguments of `Hypernetwork`; the generator "templates" has a code of its own for each layer, and is
    refused. Every module that owns a generated parameter must be called as a module, on a tensor `(N, F, ...)`, which
    batch norms of `metaprior.nets.Conv4` are not: give it `norm="group"`.

    Source: Babu et al. 2024 (HyperFields, arXiv 2310.17075), section 3.1. Differs: the spread is seen beside the mean;
    gradients pass through the activations; the statistics are those of the support set instead of the present batch.

    Example:
        >>> from metaprior.nets import MLP
        >>> hypernetwork = DynamicHypernetwork(MLP(inputs=1, outputs=1))
        >>> hypernetwork(torch.zeros(10, 1)).shape
        torch.Size([10, 1])
    """

    sees_batch = True

    def _prepare(self, initial: dict[str, nn.Parameter]) -> None:
        if self.generator == "templates":
            raise MetapriorError("generator: 'templates' has a code for each layer; expected one whose layers share it")
        layers: dict[str, dict[str, Tensor]] = defaultdict(dict)
        for name, value in initial.items():
            owner, _, leaf = name.rpartition(".")
            layers[owner][leaf] = value
        self._owners = list(layers)
        kind = GENERATORS[self.generator]
        writers = [
            kind(own, self.code_size, self.hidden, self.seed + place) for place, own in enumerate(layers.values())
        ]
        self.writer = nn.ModuleList(writers)
        self.code = nn.Parameter(writers[0].initial_code(self.seed).to(next(iter(initial.values()))))
        self.told = nn.ParameterList(
            self.code.new_zeros(len(self.code), 2 * _width(self.net.get_submodule(owner))) for owner in self._owners[1:]
        )

    def forward(self, x: Tensor) -> Tensor:
        """Run the network on `(N, *x)`, generating each layer before it runs."""
        modules = [self.net.get_submodule(owner) for owner in self._owners]
        places: list[dict[str, Tensor]] = [{} for _ in modules]
        hooks = [
            module.register_forward_pre_hook(partial(self._write, place, places[place]))
            for place, module in enumerate(modules)
        ]
        try:
            output = self.net(x)
        finally:
            for hook, module, before in zip(hooks, modules, places, strict=True):
                hook.remove()
                for leaf, value in before.items():
                    setattr(module, leaf, value)
        if missed := [owner for owner, before in zip(self._owners, places, strict=True) if not before]:
            raise MetapriorError(
                f"net: '{missed[0]}' has generated parameters, but was not called as a module; Conv4 needs norm='group'"
            )
        return output

    def weights(self, code: Tensor | None = None) -> dict[str, Tensor]:
        """Return the generated parameters, by name, for a code `(E,)` that no activations have moved."""
        code = self.code if code is None else code
        return {
            f"{owner}.{leaf}".lstrip("."): value
            for owner, writer in zip(self._owners, self.writer.children(), strict=True)
            for leaf, value in writer(code).items()
        }

    def _write(self, place: int, before: dict[str, Tensor], module: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Put generated parameters where a layer looks for them, noting what was there."""
        code = self.code
        if place:
            mean, variance = seen_moments(inputs[0])
            seen = torch.cat([mean, (variance + _LEAST_VARIANCE).sqrt()])
            code = code + self.told[place - 1] @ seen
        for leaf, value in self.writer.get_submodule(str(place))(code).items():
            before.setdefault(leaf, getattr(module, leaf))
            setattr(module, leaf, value)


def _width(layer: nn.Module) -> int:
    """Return how many features reach a layer."""
    for name in ("in_features", "in_channels", "num_features", "num_channels", "features"):
        if isinstance(width := getattr(layer, name, None), int):
            return width
    raise MetapriorError(f"net: expected linear layers, convolutions and norms to generate, got {type(layer).__name__}")
