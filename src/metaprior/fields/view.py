"""Looking at a field from every side, in a page that this machine serves.

Axis letters: H height, W width.
"""

import socket
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metaprior.errors import MetapriorError, check_positive, missing
from metaprior.fields.cameras import Cameras, converted
from metaprior.fields.field import Field, Weights
from metaprior.fields.render import render_views

__all__ = ["View", "camera_of", "with_notes"]

Make = Callable[[str], tuple[Field, Weights]]
_SPACED = "\n\n"


class View:
    """A page with a field in it, drawn anew whenever the camera moves; with a line for prompts if they can be made.

    Nothing is loaded from anywhere else.

    Args:
        field: the shape of the field.
        weights: of one scene.
        prompt: what it is.
        make: from another prompt to a field; None for no line for prompts.
        notes: what there is to say of the field.
        host: that may look; "0.0.0.0" for every machine that reaches this one.
        port: of the page.
        size: the width of what is drawn, in pixels.
        samples: of a ray.

    Raises:
        MetapriorError: if viser is not installed, a size is not positive, or nothing can be served from there.
    """

    def __init__(
        self,
        field: Field,
        weights: Weights,
        prompt: str = "",
        make: Make | None = None,
        notes: Sequence[str] = (),
        host: str = "127.0.0.1",
        port: int = 8080,
        size: int = 192,
        samples: int = 64,
    ):
        check_positive(size=size, samples=samples)
        try:
            import viser
        except ImportError as error:
            raise missing("viser", "web", "looking at a field in a page") from error
        check_address(host, port)
        self.shown = field, weights
        self.size, self.samples = size, samples
        self._lock = threading.Lock()
        self.server: Any = viser.ViserServer(host=host, port=port, verbose=False)
        self.port: int = self.server.get_port()
        self.server.scene.set_up_direction("+z")
        self.server.on_client_connect(self._meet)
        self._make = make
        if make is not None:
            self.line = self.server.gui.add_text("prompt", prompt)
            self.note = self.server.gui.add_markdown(_SPACED.join(notes))

            @self.line.on_update
            def _(_: Any) -> None:
                self.note.content = self.ask(self.line.value)
                for client in self.server.get_clients().values():
                    self._draw(client)

    def picture(self, position: Any, turn: Any, field_of_view: float, aspect: float) -> Tensor:
        """Return what a camera of the page sees, `(H, W, 3)`."""
        camera = camera_of(position, turn, field_of_view, aspect, self.size)
        with self._lock:
            return render_views(*self.shown, camera, self.samples).over()[0]

    def ask(self, prompt: str) -> str:
        """Show what is made of a prompt; return what there is to say of it, or why nothing could be made."""
        if self._make is None:
            return ""
        with self._lock:
            try:
                self.shown, notes = with_notes(self._make, prompt)
            except MetapriorError as error:
                return str(error)
        return _SPACED.join(notes)

    def stop(self) -> None:
        """Serve no longer."""
        self.server.stop()

    def _meet(self, client: Any) -> None:
        client.camera.position = (1.3, -2.3, 1.3)
        client.camera.look_at = (0.0, 0.0, 0.0)
        client.camera.on_update(lambda _: self._draw(client))
        self._draw(client)

    def _draw(self, client: Any) -> None:
        camera = client.camera
        seen = self.picture(camera.position, camera.wxyz, camera.fov, camera.aspect)
        client.scene.set_background_image((seen.clamp(0, 1) * 255).byte().cpu().numpy(), format="jpeg")


def check_address(host: str, port: int) -> None:
    """Raise MetapriorError unless something can be served from a host, and there is such a port."""
    if not 0 <= port < 65536:
        raise MetapriorError(f"port: expected 0 to 65535, got {port}")
    try:
        with socket.create_server((host, 0)):
            pass
    except OSError as error:
        raise MetapriorError(f"host: cannot serve from '{host}': {error.strerror or error}") from error


def with_notes(make: Make, prompt: str) -> tuple[tuple[Field, Weights], list[str]]:
    """Return what is made of a prompt, and what there is to say of it.

    Example:
        >>> from metaprior.fields import generate
        >>> with_notes(generate, "a red xylophone")[1][0][:48]
        "prompt: 'xylophone' was never met in acquisition"
    """
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", UserWarning)
        made = make(prompt)
    return made, [str(warning.message) for warning in found]


def camera_of(position: Any, turn: Any, field_of_view: float, aspect: float, width: int) -> Cameras:
    """Return the camera of a page: where it stands, how it is turned, and how wide it sees.

    Args:
        position: `(3,)`.
        turn: a quaternion w, x, y, z, from a camera that looks along its z with y down.
        field_of_view: from top to bottom, in radians.
        aspect: width by height.
        width: of the picture, in pixels.

    Example:
        >>> camera_of((0, 0, 3), (0, 1, 0, 0), 0.7, 1.5, 30).rays().directions[:, 315].round().abs()
        tensor([[0., 0., 1.]])
    """
    w, x, y, z = np.asarray(turn, dtype=float) / np.linalg.norm(turn)
    pose = torch.eye(4)
    pose[:3, :3] = torch.tensor(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    pose[:3, 3] = torch.tensor(np.asarray(position, dtype=float)).float()
    height = max(round(width / aspect), 1)
    focal = torch.full((1, 2), 0.5 * height / float(np.tan(field_of_view / 2)))
    return Cameras(converted(pose[None], "opencv"), focal, torch.tensor([[width / 2, height / 2]]), width, height)
