"""Tasks of molecules: each an assay with labels, its molecules drawn by index from rows that are resident in memory.

Axis letters: T tasks, K assays of a split, R labelled molecules of a split, N support, Q query, F features.
"""

import copy
import json
import textwrap
from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Literal, Self, get_args

import torch
from torch import Tensor

from metaprior.errors import DataError, check_positive
from metaprior.molecules.agreement import check_digest
from metaprior.molecules.assay_split import Assays
from metaprior.molecules.dealing import deal
from metaprior.molecules.featurisers import Featuriser, featuriser_of
from metaprior.molecules.structure import Salts, rdkit_version
from metaprior.tasks.episode import Episode, Examples, TaskSpec
from metaprior.tasks.source import Split, TaskSource
from metaprior.tree import fingerprint

__all__ = ["AssaySource"]

REFERENCE = 1000
"""How many molecules of acquisition a checkpoint names, for telling how alike new ones are to them."""
_LONGEST = 200
"""Characters of a featuriser's settings in a message."""


class AssaySource(TaskSource):
    """Tasks that are assays: predict the label of a molecule from labelled molecules of the same assay.

    A subclass stores the arguments below and writes `assays`.

    Args:
        shots: support molecules of a task in all; or the least and most of them, of which a task gets as many as leave
            it half of its molecules.
        queries: query molecules of a task at most; None for all that are left.
        kind: predict the class, 0 for inactive and 1 for active; or the value, standardised by the support.
        featuriser: by name, or by name and settings.
        salts: what is done to salts and mixtures.
        balanced: take as many support molecules of each class, instead of as many as its share of the assay.
        by_size: draw an assay as often as it has molecules, instead of as often as any other.
    """

    shots: int | tuple[int, int]
    queries: int | None
    kind: Literal["classification", "regression"]
    featuriser: Any
    salts: Salts = "largest"
    balanced: bool = False
    by_size: bool = False
    least_shots: ClassVar[int] = 2

    @abstractmethod
    def assays(self, split: Split) -> Assays:
        """Return the assays of a split; called once for each."""

    @property
    def spec(self) -> TaskSpec:  # type: ignore[override]
        """Features of the featuriser; where there are classes, each assay has its own two in the pool."""
        if self.kind not in ("classification", "regression"):
            raise DataError(f"kind: expected 'classification' or 'regression', got '{self.kind}'")
        shape, tokens, net = (self._featuriser.encoded_width,), self._featuriser.tokens, self._featuriser.net
        if self.kind == "regression":
            return TaskSpec("regression", shape, 1, tokens=tokens, net=net)
        return TaskSpec("classification", shape, 2, 2 * len(self.names("train")), tokens=tokens, net=net)

    @property
    def inputs(self) -> dict[str, Any] | None:
        """How a structure becomes an input, and a sample of the molecules of acquisition."""
        return {
            "kind": self._featuriser.reads,
            "featuriser": self._featuriser.settings,
            "fitted": self._fitted,
            "salts": self.salts,
            "rdkit": rdkit_version() if self._featuriser.reads == "molecules" else None,
            "check": check_digest(self._featuriser, self.salts),
            "reference": self._reference,
        }

    @property
    def data_hash(self) -> str:
        """16 hexadecimal digits that change when the training labels or the features of their molecules do."""
        part = self._split("train")
        return fingerprint((part.rows.tensors, part.molecule, part.labels, part.values, part.counts))

    def with_shots(self, shots: int) -> Self:
        """Return the same source with another number of support molecules, over the same resident rows."""
        source = copy.copy(self)
        source.shots = shots
        return source

    def encode(self, part: Assays, index: Tensor) -> Tensor:
        """Return the inputs `(..., F)` of the labelled molecules at positions `(...)` of a split."""
        raw = part.rows.dense(part.molecule[index])
        return self._featuriser.encode(raw, self._fitted).to(torch.float32)

    def names(self, split: Split) -> list[str]:
        """Return the names of the assays of a split."""
        return self._split(split).names

    def sizes(self, split: Split) -> list[int]:
        """Return how many labelled molecules each assay of a split has."""
        return self._split(split).counts.tolist()

    def supports(self, split: Split) -> list[int]:
        """Return how many molecules of each assay may be in a support, -1 where none is left to ask about."""
        return self._split(split).supports.tolist()

    def mismatch(self, inputs: Mapping[str, Any]) -> str | None:
        """Return that the featuriser is another than that of a prior; None if it is not."""
        own, known = self._featuriser.settings, inputs.get("featuriser")
        if known in (None, own):
            return None
        told = (textwrap.shorten(json.dumps(one), _LONGEST) for one in (known, own))
        return f"featuriser: the prior was acquired with {next(told)}, {type(self).__name__} has {next(told)}"

    def as_acquired(self, inputs: Mapping[str, Any]) -> Self:
        """Return the same tasks with the featuriser of a prior, and what it was fitted to molecules of acquisition."""
        if "featuriser" not in inputs:
            return self
        source = copy.copy(self)
        if self._featuriser.settings != inputs["featuriser"]:
            for kept in ("_splits", "_featuriser", "_reference"):
                source.__dict__.pop(kept, None)
            source.featuriser = inputs["featuriser"]
        source.__dict__["_fitted"] = inputs.get("fitted")
        return source

    def sample(self, tasks: int, generator: torch.Generator, split: Split = "train") -> Episode:
        """Draw T assays, then the molecules of each without replacement: a stratified support, and queries."""
        part = self._split(split)
        least, most = self._bounds
        eligible = (part.supports >= least).nonzero().flatten()
        if len(eligible) == 0:
            largest = int(part.counts.max()) if len(part.counts) else 0
            raise DataError(
                f"shots: the {split} split has no assay of more than {least} molecules; the most are {largest}"
            )
        if self.by_size:
            sizes = part.counts[eligible].to(torch.float64)
            chosen = eligible[torch.multinomial(sizes, tasks, replacement=True, generator=generator)]
        else:
            chosen = eligible[torch.randint(len(eligible), (tasks,), generator=generator)]
        counts = part.counts[chosen]
        shots = torch.full_like(counts, least)
        if most > least:
            room = (counts // 2).clamp(min=least, max=most) - least + 1
            shots = least + (torch.rand(tasks, generator=generator) * room).long()
        position = torch.arange(int(counts.max()))
        real = position < counts[:, None]
        at = part.starts[chosen][:, None] + position.clamp(max=int(counts.max()) - 1) * real
        roles = None if part.roles is None else part.roles[at]
        support, query = deal(part.labels[at].where(real, -1), shots, generator, self.queries, self.balanced, roles)
        return self._episode(part, chosen, at, support, query)

    def episode(self, split: Split, assay: int, shots: int, generator: torch.Generator) -> Episode:
        """Draw a support from one assay; all of its other molecules are queries.

        Args:
            split: of the assay.
            assay: its position among the names of the split.
            shots: N.
            generator: the only source of randomness.

        Returns:
            One task.
        """
        part = self._split(split)
        at = (part.starts[assay] + torch.arange(int(part.counts[assay])))[None]
        roles = None if part.roles is None else part.roles[at]
        support, query = deal(part.labels[at], torch.tensor([shots]), generator, None, self.balanced, roles)
        return self._episode(part, torch.tensor([assay]), at, support, query)

    def pooled(self, most: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return inputs `(R, F)` and labels `(R,)` of so many labelled molecules of all training assays at most."""
        part = self._split("train")
        index = torch.randperm(len(part.labels), generator=generator)[:most]
        return self.encode(part, index), part.labels[index]

    def _episode(self, part: Assays, chosen: Tensor, at: Tensor, *parts: tuple[Tensor, Tensor]) -> Episode:
        """Return the examples at some of the positions `(T, M)`: support and query, each with its mask."""
        found = []
        for index, real in parts:
            where = at.gather(1, index)
            mask = None if bool(real.all()) else real
            found.append((where, mask))
        x = [self.presented(part, where, chosen) for where, _ in found]
        about = self.described(part, chosen)
        if self.kind == "classification":
            support, query = (
                Examples(each, part.labels[where], mask) for each, (where, mask) in zip(x, found, strict=True)
            )
            ways, labels = torch.full((len(chosen),), 2), torch.stack([2 * chosen, 2 * chosen + 1], 1)
            return Episode(support, query, ways, labels, about)
        assert part.values is not None
        mean, spread = self.standard(part.values[found[0][0]], parts[0][1])
        support, query = (
            Examples(each, ((part.values[where] - mean) / spread)[..., None], mask)
            for each, (where, mask) in zip(x, found, strict=True)
        )
        return Episode(support, query, about=about)

    def presented(self, part: Assays, where: Tensor, chosen: Tensor) -> Tensor:
        """Return the inputs `(T, N, F)` of the labelled molecules at positions `(T, N)`, of the assays `(T,)`."""
        return self.encode(part, where)

    def described(self, part: Assays, chosen: Tensor) -> Tensor | None:
        """Return what describes the assays `(T,)`, `(T, A)`; None where nothing does."""
        return None if part.about is None else part.about[chosen]

    def standard(self, known: Tensor, real: Tensor) -> tuple[Tensor | float, Tensor | float]:
        """Return the mean `(T, 1)` and the spread that values are standardised by: of those of the support `(T, N)`."""
        mean = known.where(real, 0).sum(1, keepdim=True) / real.sum(1, keepdim=True)
        spread = ((known - mean).where(real, 0).square().sum(1, keepdim=True) / real.sum(1, keepdim=True)).sqrt()
        # A support of one value has no spread to standardise by.
        return mean, torch.where(spread > 1e-6, spread, 1.0)

    def _split(self, split: str) -> Assays:
        if split not in get_args(Split):
            raise DataError(f"split: expected one of {', '.join(get_args(Split))}; got '{split}'")
        key = f"{split}-{self.kind}"
        if key not in self._splits:
            part = self.assays(split)  # type: ignore[arg-type]
            self._splits[key] = part.measured() if self.kind == "regression" else part
        return self._splits[key]

    @property
    def _bounds(self) -> tuple[int, int]:
        least, most = (self.shots, self.shots) if isinstance(self.shots, int) else self.shots
        if not self.least_shots <= least <= most:
            raise DataError(
                f"shots: expected {self.least_shots} or more, or the least and most of it; got {self.shots}"
            )
        check_positive(DataError, queries=self.queries)
        return least, most

    @cached_property
    def _splits(self) -> dict[str, Assays]:
        return {}

    @cached_property
    def _featuriser(self) -> Featuriser:
        return featuriser_of(self.featuriser)

    @cached_property
    def _fitted(self) -> dict[str, Any] | None:
        if type(self._featuriser).fit is Featuriser.fit:
            return None  # without a look at the training molecules, whose features may take minutes
        return self._featuriser.fit(self._split("train").rows)

    @cached_property
    def _reference(self) -> list[str]:
        smiles = self._split("train").smiles
        order = torch.randperm(len(smiles), generator=torch.Generator().manual_seed(0))[:REFERENCE]
        return [smiles[position] for position in sorted(order.tolist())]
