"""A network whose parameters another network writes.

Axis letters: N examples, F outputs, E code.
"""

import copy
import re
from typing import Literal

from torch import Tensor, nn
from torch.func import functional_call

from metaprior.errors import MetapriorError, UnknownNameError, check_pattern, check_positive
from metaprior.hyper.generators import GENERATORS
from metaprior.registry import nets

__all__ = ["GeneratorName", "Hypernetwork"]

GeneratorName = Literal["low_rank", "linear", "factorised", "multiplicative", "templates", "chunked"]

VECTORS = "vectors"


@nets.register("hypernetwork")
class Hypernetwork(nn.Module):
    """Any network, with its parameters generated from a code; it runs as the network itself does.

    Nothing of the network is rewritten: its own `forward` runs, with the generated parameters in place.

    Args:
        net: from `(N, *x)` to `(N, F)`; copied; as its parameters begin, so do the generated ones.
        generator: "low_rank", "linear", "factorised", "multiplicative", "templates" or "chunked"; see
            `metaprior.hyper.generators`.
        code_size: E; "templates" chooses its own.
        hidden: the generator's hidden units, or templates.
        generated: a regular expression; parameters with a matching name are generated, the others stay the network's.
            Or "vectors" for the parameters of one axis: biases, and the scales and shifts of normalisations.
        seed: of the generator's initial weights.

    Example:
        >>> import torch
        >>> from metaprior.nets import MLP
        >>> hypernetwork = Hypernetwork(MLP(inputs=1, outputs=1))
        >>> hypernetwork(torch.zeros(10, 1)).shape, hypernetwork.code.shape
        (torch.Size([10, 1]), torch.Size([16]))
    """

    def __init__(
        self,
        net: nn.Module,
        generator: GeneratorName = "low_rank",
        code_size: int = 16,
        hidden: int = 32,
        generated: str = ".*",
        seed: int = 0,
    ):
        super().__init__()
        check_positive(code_size=code_size, hidden=hidden)
        if generator not in GENERATORS:
            raise UnknownNameError("generator", generator, GENERATORS)
        if isinstance(net, Hypernetwork):
            raise MetapriorError("net: expected a plain network, got a Hypernetwork")
        if generated == VECTORS:
            initial = {name: value for name, value in net.named_parameters() if value.ndim <= 1}
        else:
            check_pattern(generated=generated)
            initial = {name: value for name, value in net.named_parameters() if re.search(generated, name)}
        if not initial:
            names = ", ".join(name for name, _ in net.named_parameters())
            raise MetapriorError(f"generated: expected a pattern that matches one of {names}; got '{generated}'")
        self.generator = generator
        self.code_size = code_size
        self.hidden = hidden
        self.generated = generated
        self.seed = seed
        self.net = _without(copy.deepcopy(net), initial)
        self._prepare(initial)

    def _prepare(self, initial: dict[str, nn.Parameter]) -> None:
        """Add what generates, and the code."""
        self.writer: nn.Module = GENERATORS[self.generator](initial, self.code_size, self.hidden, self.seed)
        self.code = nn.Parameter(self.writer.initial_code(self.seed).to(next(iter(initial.values()))))

    def forward(self, x: Tensor) -> Tensor:
        """Run the generated network on `(N, *x)`."""
        return functional_call(self.net, self.weights(), (x,))

    def weights(self, code: Tensor | None = None) -> dict[str, Tensor]:
        """Return the generated parameters, by name, for a code `(E,)`; None for its own."""
        return self.writer(self.code if code is None else code)


def _without(net: nn.Module, names: dict[str, nn.Parameter]) -> nn.Module:
    """Leave a place for each generated parameter, which takes no memory and is not saved."""
    for name, parameter in names.items():
        owner, _, leaf = name.rpartition(".")
        module = net.get_submodule(owner)
        del module._parameters[leaf]
        module.register_buffer(leaf, parameter.new_zeros(()).detach().expand(parameter.shape), persistent=False)
    return net
