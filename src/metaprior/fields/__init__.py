"""Radiance fields: scenes, cameras, a renderer, and what is fitted to pictures of scenes."""

from metaprior.fields.cameras import Cameras, Rays, converted, look_at
from metaprior.fields.encoders import DenseGrid, Encoder, Frequency, HashGrid, TriPlane
from metaprior.fields.export import export
from metaprior.fields.field import Field, Weights, of_scene
from metaprior.fields.fit import Fitted, fit
from metaprior.fields.generate import generate
from metaprior.fields.hyperfields import FieldState, HyperFieldNet, HyperFields
from metaprior.fields.network import FieldNetwork, load_field, save_field
from metaprior.fields.occupancy import frozen
from metaprior.fields.open import open_scene
from metaprior.fields.quality import psnr, ssim
from metaprior.fields.readers import read_npz, read_transforms, read_views
from metaprior.fields.render import Rendered, render, render_views
from metaprior.fields.scenes import AnalyticScene, MeshScene
from metaprior.fields.source import Scenes
from metaprior.fields.text import Text, encode
from metaprior.fields.views import Views
from metaprior.fields.writers import write_film, write_mesh, write_picture

__all__ = [
    "AnalyticScene",
    "Cameras",
    "DenseGrid",
    "Encoder",
    "Field",
    "FieldNetwork",
    "FieldState",
    "Fitted",
    "Frequency",
    "HashGrid",
    "HyperFieldNet",
    "HyperFields",
    "MeshScene",
    "Rays",
    "Rendered",
    "Scenes",
    "Text",
    "TriPlane",
    "Views",
    "Weights",
    "converted",
    "encode",
    "export",
    "fit",
    "frozen",
    "generate",
    "load_field",
    "look_at",
    "of_scene",
    "open_scene",
    "psnr",
    "read_npz",
    "read_transforms",
    "read_views",
    "render",
    "render_views",
    "save_field",
    "ssim",
    "write_film",
    "write_mesh",
    "write_picture",
]
