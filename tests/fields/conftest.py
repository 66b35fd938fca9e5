"""Priors over fields that are small enough for tests."""

import json
import math

import pytest
import torch

from metaprior.fields import Cameras, HyperFieldNet, HyperFields
from metaprior.fields.writers import write_picture

SMALL = {
    "code_size": 16,
    "units": 8,
    "probes": 16,
    "cells": 6,
    "plane_features": 2,
    "width": 8,
    "hidden": 2,
    "depth": 1,
}
NET = {*SMALL, "dynamic", "stop_gradient", "generator", "seed", "directions", "writes"}


@pytest.fixture(scope="session")
def prior():
    """Build a prior; the arguments are its own, or those of its network."""

    def build(samples=8, **more):
        settings = {name: more.pop(name) for name in list(more) if name in NET}
        return HyperFields(HyperFieldNet(64, **SMALL | settings), samples=samples, **{"text": "words"} | more)

    return build


@pytest.fixture(scope="session")
def told():
    """Make activations matter, which they do not at the beginning."""

    def change(own):
        with torch.no_grad():
            for value in own.net.told:
                value.copy_(0.3 * torch.randn(value.shape, generator=torch.Generator().manual_seed(5)))
        return own

    return change


@pytest.fixture(scope="session")
def blender():
    """Write ten views of a scene in the style of Blender."""

    def write(scene, folder, size=16):
        cameras = Cameras.on_sphere(10, size, radius=6.0)  # twice as large a world
        views = scene.views(cameras.moved(torch.zeros(3), 0.5), supersample=1)
        frames = []
        for view in range(10):
            picture = torch.cat([views.colour[view], views.opacity[view][..., None]], dim=-1)
            write_picture(folder / "train" / f"r_{view}.png", picture)
            frames.append({"file_path": f"./train/r_{view}", "transform_matrix": cameras.poses[view].tolist()})
        content = {"camera_angle_x": math.radians(40), "frames": frames}
        (folder / "transforms.json").write_text(json.dumps(content))
        return folder

    return write
