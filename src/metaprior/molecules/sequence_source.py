"""Tasks whose inputs are sequences of amino acids, each task described by one more sequence.

Axis letters: T tasks, K tasks of a split, N examples, F features, A numbers that describe a task.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from metaprior.errors import DataError
from metaprior.molecules.assay_split import Assays
from metaprior.molecules.assays import AssaySource
from metaprior.molecules.featurise import featurise
from metaprior.molecules.featurisers import Featuriser, featuriser_of
from metaprior.tasks.episode import TaskSpec

__all__ = ["About", "SequenceSource", "encode_descriptions"]

About = Literal["task", "input", "none"]
"""Where the description of a task goes: to the prior as what describes the task, beside each input, or nowhere."""


class SequenceSource(AssaySource):
    """Tasks of one sequence each (an epitope, an allele), whose inputs are others (receptors, peptides).

    A subclass stores the arguments below and those of `AssaySource`, and writes `assays` with `about`.

    Args:
        about: where the description of a task goes. "task" puts it into `Episode.about`, which only priors use that
            take descriptions, as `hypernet` does; "input" puts it beside each input, which any prior can use.

    Attributes:
        column: what the description is called in files.
        describer: the featuriser of descriptions.
        fixed: mean and scale that values are standardised by, the same for all tasks, so that a value can be predicted
            without any support; None to standardise by the support.
        logarithm: whether a user's values are measured on a scale of which `values` of the tasks are the logarithm.
    """

    least_shots: ClassVar[int] = 0
    column: ClassVar[str]
    describer: ClassVar[Mapping[str, Any]]
    fixed: ClassVar[tuple[float, float] | None] = None
    logarithm: ClassVar[bool] = False
    about: About

    @property
    def spec(self) -> TaskSpec:  # type: ignore[override]
        """As of all assays, with the description of a task where it goes."""
        if self.about not in ("task", "input", "none"):
            raise DataError(f"about: expected 'task', 'input' or 'none', got '{self.about}'")
        spec, size = super().spec, self._describer.encoded_width
        if self.about == "input":
            # Beside what describes the task, token ids are no longer a sequence.
            return replace(spec, x_shape=(spec.x_shape[0] + size,), tokens=None)
        return replace(spec, about=size if self.about == "task" else None)

    @property
    def inputs(self) -> dict[str, Any] | None:
        """How sequences and descriptions become inputs, and how values are standardised."""
        target = None
        if self.fixed is not None and self.kind == "regression":
            target = {"mean": self.fixed[0], "scale": self.fixed[1], "logarithm": self.logarithm}
        described = {"place": self.about, "column": self.column, "featuriser": dict(self._describer.settings)}
        return (super().inputs or {}) | {"about": described, "target": target}

    def presented(self, part: Assays, where: Tensor, chosen: Tensor) -> Tensor:
        """Return the inputs `(T, N, F)`, with the description of its task beside each if it goes there."""
        x = self.encode(part, where)
        if self.about != "input":
            return x
        assert part.about is not None
        return torch.cat([x, part.about[chosen][:, None].expand(*x.shape[:2], -1)], dim=-1)

    def described(self, part: Assays, chosen: Tensor) -> Tensor | None:
        """Return the descriptions `(T, A)` of tasks if they go there."""
        return super().described(part, chosen) if self.about == "task" else None

    def standard(self, known: Tensor, real: Tensor) -> tuple[Tensor | float, Tensor | float]:
        """Return the mean and scale that are the same for all tasks, if there are such."""
        if self.fixed is not None:
            return self.fixed
        if not bool(real.any(1).all()):
            raise DataError("shots: values are standardised by the support, so that expected at least 1")
        return super().standard(known, real)

    @cached_property
    def _describer(self) -> Featuriser:
        return featuriser_of(self.describer)


def encode_descriptions(sequences: Sequence[str], describer: str | Mapping[str, Any] | Featuriser) -> Tensor:
    """Return descriptions `(K, A)` of tasks.

    Raises:
        DataError: if a sequence cannot be used; it says which one.

    Example:
        >>> encode_descriptions(["GILGFVFTL"], {"name": "one_hot", "size": 12}).shape
        torch.Size([1, 252])
    """
    featuriser = featuriser_of(describer)
    found = featurise(sequences, featuriser)
    for problem in found.problems.values():
        raise DataError(f"about: {problem}")
    return featuriser.encode(found.rows.dense(torch.arange(len(sequences)))).to(torch.float32)
