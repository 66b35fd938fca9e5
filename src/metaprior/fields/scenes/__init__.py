"""Scenes: what fields are fitted to and acquired from."""

from metaprior.fields.scenes.analytic import AnalyticScene, Traced
from metaprior.fields.scenes.grammar import COLOURS, MATERIALS, RELATIONS, SHAPES, draw, every, held_out, parse
from metaprior.fields.scenes.meshes import MeshScene, kenney, kenney_models

__all__ = [
    "COLOURS",
    "MATERIALS",
    "RELATIONS",
    "SHAPES",
    "AnalyticScene",
    "MeshScene",
    "Traced",
    "draw",
    "every",
    "held_out",
    "kenney",
    "kenney_models",
    "parse",
]
