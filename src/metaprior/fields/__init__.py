"""Radiance fields: scenes, cameras, a renderer, and what is fitted to pictures of scenes."""

from metaprior.fields.cameras import Cameras, Rays, converted, look_at
from metaprior.fields.encoders import DenseGrid, Encoder, Frequency, HashGrid, TriPlane
from metaprior.fields.export import export
from metaprior.fields.field import Field, Weights, of_scene
from metaprior.fields.field_net import FieldNet
from metaprior.fields.fit import Fitted, fit
from metaprior.fields.generate import generate
from metaprior.fields.guidance import Diffusion, Guidance
from metaprior.fields.hyper_field_net import HyperFieldNet
from metaprior.fields.hyperfields import FieldState, HyperFields
from metaprior.fields.interpolate import between_prompts, film_between
from metaprior.fields.nearest import NearestField
from metaprior.fields.network import FieldNetwork, load_field, save_field
from metaprior.fields.occupancy import frozen
from metaprior.fields.open import open_scene
from metaprior.fields.quality import psnr, ssim
from metaprior.fields.readers import read_npz, read_transforms, read_views
from metaprior.fields.refine import refine, refine_field
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
    "Diffusion",
    "Encoder",
    "Field",
    "FieldNet",
    "FieldNetwork",
    "FieldState",
    "Fitted",
    "Frequency",
    "Guidance",
    "HashGrid",
    "HyperFieldNet",
    "HyperFields",
    "MeshScene",
    "NearestField",
    "Rays",
    "Rendered",
    "Scenes",
    "Text",
    "TriPlane",
    "Views",
    "Weights",
    "between_prompts",
    "converted",
    "encode",
    "export",
    "film_between",
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
    "refine",
    "refine_field",
    "render",
    "render_views",
    "save_field",
    "ssim",
    "write_film",
    "write_mesh",
    "write_picture",
]
