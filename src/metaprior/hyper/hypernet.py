"""Hypernetworks trained with MAML: tasks differ by a code, from which the weights of a network are generated.

Axis letters: T tasks, N support, Q query.
"""

from typing import Any, Literal, Self

from torch import Tensor, nn

from metaprior.errors import ShapeError, UnknownNameError, check_positive
from metaprior.gradient.maml import MAML, FastWeights
from metaprior.hyper.dynamic import DynamicHypernetwork
from metaprior.hyper.hypernetwork import VECTORS, GeneratorName, Hypernetwork
from metaprior.registry import priors
from metaprior.tasks.episode import TaskSpec
from metaprior.tree import Tree

__all__ = ["Adapts", "Hypernet"]

Adapts = Literal["code", "free", "heads", "all"]
_ADAPTED = {
    "code": r"^code$",
    "free": r"^(code$|net\.)",
    "heads": r"^(code$|writer\.(.*\.)?(heads|templates))",
    "all": ".*",
}


@priors.register("hypernet")
class Hypernet(MAML):
    """MAML of a hypernetwork; a task changes the code alone, unless told otherwise.

    Args:
        net: from `(N, *x)` to logits `(N, C)` or values `(N, D)`: the network that is generated, or a `Hypernetwork`,
            of which the next four arguments, and `dynamic`, are then the matter.
        generator: "low_rank", "linear", "factorised", "multiplicative", "templates" or "chunked".
        code_size: how many numbers the code has; "templates" chooses its own.
        hidden: the generator's hidden units, or templates.
        generated: a regular expression; parameters with a matching name are generated. Or "vectors", as for
            `Hypernetwork`.
        adapts: what a task changes: the "code"; the code and what is left "free", that is, not generated; the code and
            the "heads" that turn hidden units into weights; or "all".
        inner_steps: gradient steps on the support set.
        step_size: of the inner steps on the code, a tenth of it for whatever else is adapted; None as for `MAML`.
        first_order: leave second derivatives out of the outer gradient.
        transductive: let batch norms normalise queries by the queries' own statistics.
        test_steps: inner steps in evaluation mode; None for `inner_steps`.
        chunk: how many tasks are computed at once, as for `MAML`.
        save_memory: keep the adapted weights alone after each inner step, as for `MAML`.
        about_size: A, how many numbers describe a task in `about`; None if nothing does.
        dynamic: let activations of the layers already generated have a say in the next; see `DynamicHypernetwork`.

    Source: Babu 2025 (arXiv 2507.10446), the thesis, of which the summary alone is public: the generators are ours.
    Tasks that differ by a code of few numbers can neither overfit nor run away as those can that change every weight.

    Example:
        >>> import torch
        >>> from metaprior.nets import MLP
        >>> from metaprior.tasks import Examples
        >>> prior = Hypernet(MLP(inputs=1, outputs=1), inner_steps=2)
        >>> state = prior.observe(prior.start(4), Examples(torch.zeros(4, 10, 1), torch.ones(4, 10, 1)))
        >>> {name: weight.shape for name, weight in state.weights.items()}
        {'code': torch.Size([4, 16])}
    """

    net: Hypernetwork

    def __init__(
        self,
        net: nn.Module,
        generator: GeneratorName = "low_rank",
        code_size: int = 16,
        hidden: int = 32,
        generated: str = ".*",
        adapts: Adapts = "code",
        inner_steps: int = 1,
        step_size: float | None = None,
        first_order: bool = False,
        transductive: bool = False,
        test_steps: int | None = None,
        chunk: int | Literal["auto"] = "auto",
        save_memory: bool = False,
        about_size: int | None = None,
        dynamic: bool = False,
    ):
        check_positive(about_size=about_size)
        if adapts not in _ADAPTED:
            raise UnknownNameError("choice for adapts", adapts, _ADAPTED)
        if not isinstance(net, Hypernetwork):
            kind = DynamicHypernetwork if dynamic else Hypernetwork
            net = kind(net, generator, code_size, hidden, generated, seed=getattr(net, "seed", 0))
        super().__init__(
            net, inner_steps, step_size, first_order, _ADAPTED[adapts], transductive, test_steps, chunk, save_memory
        )
        self.generator = generator
        self.code_size = code_size
        self.hidden = hidden
        self.generated = generated
        self.adapts = adapts
        self.about_size = about_size
        self.dynamic = dynamic
        # Zeros: what a description means is acquired.
        code = self.net.code
        self.described = None if about_size is None else nn.Parameter(code.new_zeros(len(code), about_size))

    @classmethod
    def for_tasks(cls, spec: TaskSpec, net: nn.Module | None = None, seed: int = 0, **arguments: Any) -> Self:
        """Build as `MAML` does, with room for whatever describes the tasks."""
        return super().for_tasks(spec, net, seed, **({"about_size": spec.about} | arguments))

    def start(self, tasks: int, about: Tree = None) -> FastWeights:
        """Return the acquired code for each of T tasks, moved by what describes the task.

        Args:
            tasks: T.
            about: `(T, A)`, for example the embedding of a text; None, or not asked for, to leave the code as acquired.

        Raises:
            ShapeError: if `about` has another shape.
        """
        state = super().start(tasks, about)
        if self.described is None or about is None:
            return state
        if not isinstance(about, Tensor) or about.shape != (tasks, self.about_size):
            got = tuple(about.shape) if isinstance(about, Tensor) else type(about).__name__
            raise ShapeError(f"about: expected a tensor of shape (T, A) = {(tasks, self.about_size)}, got {got}")
        return state._replace(weights=state.weights | {"code": state.weights["code"] + about @ self.described.T})

    def step_sizes(self, step: int) -> dict[str, Tensor | float]:
        """Return the step size of each adapted parameter at an inner step."""
        return {name: self._first_size * (1 if name == "code" else 0.1) for name in self._adapted_names()}


# Zintgraf et al. 2019 (arXiv 1810.03642). Differs: the context adds to every bias and scale, not to those of one layer,
# and where it begins is acquired, which the biases acquired beside it could make up for.
priors.preset("cavia", "hypernet", generator="linear", generated=VECTORS)
