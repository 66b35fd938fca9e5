"""One field as an ordinary network, and on disk.

Axis letters: P points.
"""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from metaprior.errors import CheckpointError, MetapriorError, UnknownNameError
from metaprior.fields.field import OCCUPANCY, Field, Weights, of_scene
from metaprior.files import write_tensors
from metaprior.nets.initialise import uninitialised

__all__ = ["FieldNetwork", "load_field", "save_field"]

_KEY = "metaprior_field"


class FieldNetwork(nn.Module):
    """A radiance field with weights of its own, like any network: from points to density and colour.

    Its layers are `nn.Linear`, so that the file of its weights can be read without this library.

    Args:
        field: the shape of the field.
        weights: of one scene, or of several of which one is taken.
        scene: which.

    Example:
        >>> import torch
        >>> field = Field()
        >>> network = FieldNetwork(field, field.initial(1, torch.Generator().manual_seed(0)))
        >>> density, colour = network(torch.zeros(10, 3))
        >>> density.shape, colour.shape
        (torch.Size([10]), torch.Size([10, 3]))
    """

    def __init__(self, field: Field, weights: Weights, scene: int = 0):
        super().__init__()
        self.field = field
        own = {name: value[0].detach().clone() for name, value in of_scene(weights, scene).items()}
        self.encoder = nn.ParameterDict({name[8:]: own[name] for name in own if name.startswith("encoder.")})
        for group in ("layers", "view"):
            names = [name for name in field.shapes if name.startswith(group) and name.endswith("weight")]
            layers = nn.ModuleList()
            for name in names:
                layer = uninitialised(nn.Linear, *reversed(field.shapes[name]))
                layer.weight = nn.Parameter(own[name])
                layer.bias = nn.Parameter(own[name.replace("weight", "bias")])
                layers.append(layer)
            if names:
                self.add_module(group, layers)
        if OCCUPANCY in own:
            self.register_buffer(OCCUPANCY, own[OCCUPANCY])

    @property
    def weights(self) -> Weights:
        """The weights by name, each with the axis S = 1."""
        return {name: value[None] for name, value in self.state_dict(keep_vars=True).items()}

    def forward(self, points: Tensor, directions: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return density `(P,)` and colour `(P, 3)` of points `(P, 3)`, seen along directions `(P, 3)`."""
        density, colour = self.field(self.weights, points[None], None if directions is None else directions[None])
        return density[0], colour[0]


def save_field(path: str | Path, field: Field, weights: Weights, scene: int = 0, **facts: Any) -> Path:
    """Write one field to a safetensors file.

    Args:
        path: of the file.
        field: the shape of the field.
        weights: of one scene, or of several of which one is written.
        scene: which.
        facts: what else the file should say of it, ready for JSON.

    Example:
        >>> import tempfile, torch
        >>> field = Field()
        >>> weights = field.initial(1, torch.Generator().manual_seed(0))
        >>> path = save_field(Path(tempfile.mkdtemp()) / "a.safetensors", field, weights, prompt="a red ball")
        >>> load_field(path)[1]["prompt"]
        'a red ball'
    """
    path = Path(path)
    own = {name: value[0].detach().cpu() for name, value in of_scene(weights, scene).items()}
    write_tensors(path, own, {_KEY: json.dumps({"field": field.describe(), **facts})})
    return path


def load_field(path: str | Path) -> tuple[FieldNetwork, dict[str, Any]]:
    """Read what `save_field` wrote: the network, and what the file says of it.

    Args:
        path: of the file, or of a folder with `field.safetensors`.

    Raises:
        CheckpointError: if the file is missing, damaged, or holds no field.
    """
    path = Path(path)
    path = path / "field.safetensors" if path.suffix != ".safetensors" else path
    if not path.is_file():
        raise CheckpointError(f"{path}: no such field; 'metaprior fit' writes one")
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get(_KEY, "null"))
            own = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if facts is None:
            raise CheckpointError(f"{path}: is safetensors, but not a field of metaprior")
        field = Field.build(facts.pop("field"))
        network = FieldNetwork(field, {name: value[None] for name, value in own.items()})
        wrong = [name for name, shape in field.shapes.items() if tuple(own[name].shape) != shape]
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, MetapriorError) and not isinstance(error, UnknownNameError):
            raise
        raise CheckpointError(f"{path}: is damaged or no field ({error})") from error
    if wrong:
        raise CheckpointError(f"{path}: is damaged: {wrong[0]} has the shape {tuple(own[wrong[0]].shape)}")
    return network, facts
