"""A multi-layer perceptron."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from metaprior.errors import ShapeError, check_positive
from metaprior.nets.initialise import initialise, uninitialised
from metaprior.nets.norm import Norm, norm_layer
from metaprior.registry import nets

__all__ = ["MLP"]


@nets.register("mlp")
class MLP(nn.Module):
    """Linear layers with rectifiers between them; inputs of any shape are flattened.

    Args:
        inputs: the number of input features.
        outputs: the number of outputs; None to end with the last hidden layer's features.
        hidden: the width of each hidden layer.
        norm: of hidden layers, before the rectifier: "batch", "group", "layer" or "none".
        seed: of the initial weights.
        dropout: the share of the values of each hidden layer that training leaves out.

    Source: the defaults are the network of Finn et al. 2017 (arXiv 1703.03400), section 5.1; theirs for Omniglot is
    `MLP(784, outputs, hidden=(256, 128, 64, 64), norm="batch")`.

    Example:
        >>> MLP(inputs=1, outputs=1)(torch.zeros(10, 1)).shape
        torch.Size([10, 1])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int | None = None,
        hidden: Sequence[int] = (40, 40),
        norm: Norm = "none",
        seed: int = 0,
        dropout: float = 0.0,
    ):
        super().__init__()
        for width in (inputs, *hidden):
            check_positive(hidden=width)
        self.inputs = inputs
        self.outputs = outputs
        self.hidden = tuple(hidden)
        self.norm = norm
        self.seed = seed
        self.dropout = dropout
        widths = (inputs, *self.hidden)
        # A bias before a normalisation has no effect.
        self.layers = nn.ModuleList(
            uninitialised(nn.Linear, before, after, bias=norm == "none") for before, after in pairwise(widths)
        )
        self.norms = nn.ModuleList(norm_layer(norm, width) for width in self.hidden)
        self.rectifiers = nn.ModuleList(nn.ReLU() for _ in self.hidden)
        self.head = nn.Identity() if outputs is None else uninitialised(nn.Linear, widths[-1], outputs)
        initialise(self, seed)

    @property
    def features(self) -> int:
        """The width of what comes before the head."""
        return (self.inputs, *self.hidden)[-1]

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, *x)` to `(N, outputs)`, or to `(N, features)` without a head."""
        x = x.flatten(1)
        if x.shape[1] != self.inputs:
            raise ShapeError(f"x: expected inputs of {self.inputs} numbers, got {x.shape[1]}")
        for layer, norm, rectifier in zip(self.layers, self.norms, self.rectifiers, strict=True):
            x = rectifier(norm(layer(x)))
            if self.training and self.dropout:
                # Several times as fast on a CPU as torch's own dropout.
                x = x * (torch.rand_like(x) >= self.dropout) / (1 - self.dropout)
        return self.head(x)
