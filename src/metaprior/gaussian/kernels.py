"""Kernels on acquired features and on inputs, in two halves: how alike two rows are, and what variance that means.

The first half costs a matrix product and knows no hyper-parameters, the second is elementwise; so whoever fits
hyper-parameters to a task pays for the first once.

Axis letters: T tasks, N and M rows, F features, I inputs, P parts, H hyper-parameters.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from metaprior.errors import UnknownNameError

__all__ = ["DeepKernel", "Form", "tanimoto"]

Form = Literal["rbf", "matern", "linear", "cosine"]
_TINY = 1e-12


@dataclass(frozen=True)
class DeepKernel:
    """A kernel on features, a constant, and on demand the Tanimoto similarity of the inputs behind the features.

    It is exp(signal) k(f / exp(length), f' / exp(length)) + exp(offset) + exp(inputs) tanimoto(x, x'), where k is

    - "rbf": exp(-r² / 2), with r² the mean squared difference of the features;
    - "matern": (1 + √5 r + 5 r² / 3) exp(-√5 r);
    - "linear": the mean product of the features;
    - "cosine": the cosine of the features; neither of the last two has a length.

    Args:
        form: of k.
        inputs: I, how many of the last features are inputs; 0 for none.

    Source: Rasmussen & Williams 2006, table 4.1; Tanimoto from Ralaivola et al. 2005. Differs: distances are means over
    features, so that one length suits networks of any width.

    Raises:
        UnknownNameError: if there is no such form.

    Example:
        >>> kernel, x = DeepKernel("rbf"), torch.tensor([[[0.0], [1.0]]])
        >>> kernel.names, kernel.covariance(kernel.compare(x, x), torch.tensor([[0.0, -torch.inf, 0.0]]))[0, 0]
        (('signal', 'offset', 'length'), tensor([1.0000, 0.6065]))
    """

    form: Form
    inputs: int = 0

    def __post_init__(self) -> None:
        if self.form not in get_args(Form):
            raise UnknownNameError("kernel", str(self.form), get_args(Form))

    @property
    def names(self) -> tuple[str, ...]:
        """What the H hyper-parameters are called, all of them logarithms."""
        length = ("length",) if self.form in ("rbf", "matern") else ()
        return ("signal", "offset", *length, *(("inputs",) if self.inputs else ()))

    def compare(self, left: Tensor, right: Tensor) -> Tensor:
        """Return how alike rows are, whatever the hyper-parameters.

        Args:
            left: `(T, N, F + I)`.
            right: `(T, M, F + I)`.

        Returns:
            `(T, P, N, M)`: of the features, and of the inputs if they have a part.
        """
        (f, x), (g, z) = self._halves(left), self._halves(right)
        if self.form == "cosine":
            f, g = functional.normalize(f, dim=-1), functional.normalize(g, dim=-1)
        products = f @ g.mT
        if self.form == "linear":
            products = products / f.shape[-1]
        elif self.form != "cosine":
            lengths = f.square().sum(-1)[..., None] + g.square().sum(-1)[..., None, :]
            products = (lengths - 2 * products).clamp(min=0) / f.shape[-1]
        return torch.stack([products, tanimoto(x, z)] if self.inputs else [products], dim=1)

    def compare_self(self, rows: Tensor) -> Tensor:
        """Return how alike each row `(T, N, F + I)` is to itself, `(T, P, N)`: the diagonal of `compare`."""
        features = self._halves(rows)[0]
        length = features.square()
        alike = length.mean(-1) if self.form == "linear" else torch.full_like(length[..., 0], self.form == "cosine")
        return torch.stack([alike, torch.ones_like(alike)] if self.inputs else [alike], dim=1)

    def covariance(self, alike: Tensor, hyper: Tensor) -> Tensor:
        """Return covariances from what `compare` or `compare_self` says.

        Args:
            alike: `(T, P, ...)`.
            hyper: `(T, H)`, or `(1, H)` for all tasks alike.

        Returns:
            `(T, ...)`.
        """
        values = {
            name: value.view(-1, *[1] * (alike.ndim - 2))
            for name, value in zip(self.names, hyper.unbind(1), strict=True)
        }
        shape = alike[:, 0]
        if self.form in ("rbf", "matern"):
            shape = shape * (-2 * values["length"]).exp()
        if self.form == "rbf":
            shape = (-shape / 2).exp()
        elif self.form == "matern":
            # The root has no derivative at 0, though the kernel has.
            r = math.sqrt(5) * (shape + _TINY).sqrt()
            shape = (1 + r + r.square() / 3) * (-r).exp()
        total = values["signal"].exp() * shape + values["offset"].exp()
        return total + values["inputs"].exp() * alike[:, 1] if self.inputs else total

    def _halves(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        features = rows.shape[-1] - self.inputs
        return rows[..., :features], rows[..., features:]


def tanimoto(left: Tensor, right: Tensor) -> Tensor:
    """Return the Tanimoto similarity of rows: `<a, b> / (|a|² + |b|² - <a, b>)`, and 1 where both are zero.

    Of bits it is the share of what either has that both have.

    Args:
        left: `(..., N, F)`.
        right: `(..., M, F)`.

    Returns:
        `(..., N, M)`.

    Source: Ralaivola et al. 2005, "Graph kernels for chemical informatics".

    Example:
        >>> tanimoto(torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]))
        tensor([[0.5000, 1.0000]])
    """
    both = left @ right.mT
    either = left.square().sum(-1)[..., None] + right.square().sum(-1)[..., None, :] - both
    return torch.where(either > 0, both / either.where(either > 0, 1), 1)
