"""Gaussian processes with an acquired kernel: what deep kernel transfer and its adaptive variant share.

Axis letters: T tasks, N support, Q query, F features, I inputs, P parts of a kernel, K classes or target features,
H hyper-parameters.
"""

import math
from abc import abstractmethod
from typing import Any, Self

import torch
from torch import Tensor, nn

from metaprior.errors import MetapriorError
from metaprior.gaussian.belief import LEAST_NOISE, ProcessPrior, signed
from metaprior.gaussian.kernels import DeepKernel, Form
from metaprior.gaussian.process import condition, evidence
from metaprior.metric.labels import Labelled
from metaprior.nets import apply, default_net
from metaprior.tasks.episode import TaskSpec
from metaprior.tree import Tree

__all__ = ["DeepKernelPrior"]


class DeepKernelPrior(ProcessPrior):
    """A Gaussian process on the features of a network, whose hyper-parameters are acquired with it.

    A subclass writes `start`, `remember`, `loss`, `seen`, and `fitted`, which says what a state's hyper-parameters are.
    """

    def __init__(self, net: nn.Module, outputs: int, kernel: Form, inputs: int, noise: float):
        super().__init__(net, outputs, noise)
        self.kernel = kernel
        self.inputs = inputs
        self._kernel = DeepKernel(kernel, inputs)
        # The offset begins small, since most labels are as likely as not; all else at 1.
        first = {"offset": 0.1, "noise": noise}
        self.log_hyper = nn.Parameter(torch.tensor([math.log(first.get(name, 1.0)) for name in self.names]))

    @property
    def names(self) -> tuple[str, ...]:
        """What the H hyper-parameters are called; each is a logarithm."""
        return (*self._kernel.names, "noise")

    @classmethod
    def for_tasks(cls, spec: TaskSpec, net: nn.Module | None = None, seed: int = 0, **arguments: Any) -> Self:
        """Build with a network of features; `inputs=True` stands for as many inputs as there are.

        Raises:
            MetapriorError: if `inputs` is neither 0 nor their number, or they mean something to their network alone.
        """
        width, asked = math.prod(spec.x_shape), arguments.get("inputs", 0)
        if asked and spec.net is not None:
            raise MetapriorError(f"inputs: those of these tasks are for '{spec.net}' alone; expected 0, got {asked}")
        if asked is not True and asked not in (0, width):
            raise MetapriorError(f"inputs: expected 0 or {width}, as many as the tasks have, got {asked}")
        if asked is True:
            arguments["inputs"] = width
        return cls(default_net(spec, None, seed) if net is None else net, **({"outputs": spec.outputs} | arguments))

    @abstractmethod
    def fitted(self, state: Any) -> Tensor:
        """Return the hyper-parameters of a state, `(T, H)`, or `(1, H)` for all tasks alike."""

    def encode(self, x: Tree, mask: Tensor | None = None) -> Tensor:
        """Return features `(T, N, F)`, with the inputs beside them if the kernel sees these."""
        features = apply(self.net, x, mask)
        return torch.cat([features, x.flatten(2).to(features.dtype)], dim=-1) if self.inputs else features

    def measured(self, state: Any, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean `(T, Q, K)` and variance `(T, Q, 1)` of what will be measured, noise included."""
        seen, hyper = self.seen(state), self.fitted(state)
        kernel, rest = self._kernel, hyper[:, :-1]
        own = kernel.covariance(kernel.compare_self(features), rest)
        noise = self.variance_of_noise(hyper)
        if seen.features.shape[1] == 0:
            return features.new_zeros(*own.shape, seen.targets.shape[-1]), (own + noise[:, None])[..., None]
        covariance = kernel.covariance(kernel.compare(seen.features, seen.features), rest)
        across = kernel.covariance(kernel.compare(seen.features, features), rest)
        mean, variance = condition(covariance, noise, signed(seen), seen.real, across, own)
        return mean, variance + noise[:, None, None]

    def evidence(self, seen: Labelled, alike: Tensor, hyper: Tensor) -> Tensor:
        """Return the logarithm of the density of what was seen, `(T,)`.

        Args:
            seen: examples.
            alike: `(T, P, N, N)`, what the kernel says of each pair of them before its hyper-parameters.
            hyper: `(T, H)` or `(1, H)`.
        """
        covariance = self._kernel.covariance(alike, hyper[:, :-1])
        return evidence(covariance, self.variance_of_noise(hyper), signed(seen), seen.real)

    def variance_of_noise(self, hyper: Tensor) -> Tensor:
        """Return the variance of noise, `(T,)` or `(1,)`, for hyper-parameters `(T, H)` or `(1, H)`."""
        return hyper[:, -1].exp() + LEAST_NOISE
