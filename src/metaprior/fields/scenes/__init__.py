"""Scenes: what fields are fitted to and acquired from."""

from metaprior.fields.scenes.analytic import AnalyticScene, Traced
from metaprior.fields.scenes.fitted import FieldScene
from metaprior.fields.scenes.grammar import COLOURS, MATERIALS, RELATIONS, SHAPES, draw, every, held_out, parse
from metaprior.fields.scenes.meshes import MeshScene, kenney, kenney_models
from metaprior.fields.scenes.posed import PosedScene

__all__ = [
    "COLOURS",
    "MATERIALS",
    "RELATIONS",
    "SHAPES",
    "AnalyticScene",
    "FieldScene",
    "MeshScene",
    "PosedScene",
    "Traced",
    "draw",
    "every",
    "held_out",
    "kenney",
    "kenney_models",
    "parse",
]
