"""Priors over fields that are small enough for tests."""

import pytest
import torch

from metaprior.fields import HyperFieldNet, HyperFields

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
        return HyperFields(HyperFieldNet(64, **SMALL | settings), samples=samples, **more)

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
