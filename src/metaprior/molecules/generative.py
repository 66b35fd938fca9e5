"""What every generative prior of molecules, or of sequences, offers, and its features as a featuriser for any other.

Axis letters: M molecules, F features.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from metaprior.checkpoint import load, read_card
from metaprior.errors import CheckpointError, DataError
from metaprior.molecules.featurisers import Featuriser, Row, featuriser_of, featurisers
from metaprior.molecules.structure import Molecule, Salts
from metaprior.registry import arguments
from metaprior.tree import fingerprint

__all__ = ["Generative", "GenerativePrior"]


@runtime_checkable
class GenerativePrior(Protocol):
    """A prior that was acquired by generating molecules, and tells what it makes of one.

    Example:
        >>> from metaprior.molecules import MoleculeDiffusion
        >>> from metaprior.molecules.conformer_net import ConformerNet
        >>> isinstance(MoleculeDiffusion(ConformerNet(width=4, layers=1)), GenerativePrior)
        True
    """

    @property
    def features(self) -> int:
        """F."""

    def encode(self, molecules: Any, noise_level: float | None = None, layer: int | None = None) -> Tensor:
        """Return features `(M, F)`.

        Args:
            molecules: M of them, as the featuriser that it was acquired with gives them.
            noise_level: how much of a molecule is hidden, from 0 to 1; None for the prior's own choice.
            layer: of its network; None for the prior's own choice.
        """


@featurisers.register("generative")
class Generative(Featuriser):
    """What a generative prior makes of a molecule, or of a sequence: features for any other prior, recorded with it.

    Args:
        prior: a folder that `acquire` wrote, or a checkpoint of a generative prior.
        noise_level: of the molecules that features are of; None for the prior's own.
        layer: of its network; None for the prior's own.
        weights: digits that stand for the weights of the prior, as settings record them; None for whatever they are.

    Example:
        >>> import tempfile
        >>> from metaprior import acquire
        >>> from metaprior.molecules import NCI, MoleculeDiffusion
        >>> from metaprior.molecules.conformer_net import ConformerNet
        >>> prior = MoleculeDiffusion(ConformerNet(width=4, layers=1), outputs=2)
        >>> source = NCI(molecules=40, featuriser="conformer")
        >>> _ = acquire(prior, source, steps=1, validations=0, out=(folder := tempfile.mkdtemp()))
        >>> NCI(molecules=40, featuriser={"name": "generative", "prior": folder}).spec.x_shape
        (8,)
    """

    def __init__(
        self, prior: str, noise_level: float | None = None, layer: int | None = None, weights: str | None = None
    ):
        self.prior = prior
        self.noise_level = noise_level
        self.layer = layer
        self.weights = weights

    @property
    def settings(self) -> dict[str, Any]:
        """The whole path is recorded, and the weights, so that another run there is not taken for this one."""
        return super().settings | {"prior": self._place, "weights": fingerprint(self._loaded.state_dict())}

    @property
    def reads(self) -> Literal["molecules", "sequences"]:  # type: ignore[override]
        """What the prior was acquired on."""
        return self._reader.reads

    @property
    def width(self) -> int:
        """F."""
        return self._loaded.features

    def read(self, given: Any, salts: Salts = "largest", lenient: bool = False) -> tuple[Any, str, str | None]:
        """Return what the featuriser of the prior reads."""
        return self._reader.read(given, salts, lenient)

    def raw(self, molecule: Molecule) -> Row:
        """Return all features."""
        columns, values = self._reader.raw(molecule)
        row = torch.zeros(1, self._reader.width)
        row[0, torch.from_numpy(columns).long()] = torch.from_numpy(values)
        encoded = self._reader.encode(row, self._inputs.get("fitted"))
        found = self._loaded.encode(encoded, self.noise_level, self.layer)[0].cpu().numpy()
        return np.arange(len(found), dtype=np.int32), found.astype(np.float32)

    @property
    def _place(self) -> str:
        return str(self.prior) if str(self.prior).startswith("zoo:") else str(Path(self.prior).absolute())

    @cached_property
    def _inputs(self) -> Mapping[str, Any]:
        try:
            inputs = read_card(self.prior).get("inputs") or {}
        except CheckpointError as error:
            raise DataError(
                f"featuriser: 'generative' makes features by the generator {self.prior}: {error}"
            ) from error
        if inputs.get("kind") not in ("molecules", "sequences"):
            raise DataError(f"prior: {self.prior} was not acquired on molecules or sequences")
        return inputs

    @cached_property
    def _reader(self) -> Featuriser:
        return featuriser_of(self._inputs["featuriser"])

    @cached_property
    def _loaded(self) -> Any:
        _ = self._inputs
        loaded = load(self._place)
        if not isinstance(loaded, GenerativePrior):
            raise DataError(f"prior: {self.prior} is a {type(loaded).__name__}; expected a generative prior")
        if self.weights is not None and fingerprint(loaded.state_dict()) != self.weights:
            raise DataError(
                f"prior: the weights in {self.prior} are others than those that features were recorded with"
            )
        return loaded

    def __getstate__(self) -> dict[str, Any]:
        return arguments(self)
