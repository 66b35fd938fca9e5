import json

import pytest
import torch
from torch import nn

from metaprior import MAML
from metaprior.errors import MetapriorError, UnknownNameError
from metaprior.nets import MLP, Conv4
from metaprior.registry import Registry, arguments, build, describe, nets, priors, sources
from metaprior.tasks import Sinusoid


class Point:
    def __init__(self, name: str):
        self.name = name


@pytest.fixture
def registry() -> Registry:
    registry = Registry("shape")
    registry.register("square")(type("Square", (), {}))
    registry.register("circle")(type("Circle", (), {}))
    registry.preset("unit_circle", "circle", radius=1)
    return registry


def test_names_are_sorted_and_hold_presets(registry):
    assert list(registry) == ["circle", "square", "unit_circle"]
    assert len(registry) == 3
    assert "unit_circle" in registry
    assert "triangle" not in registry


def test_a_preset_stands_for_a_class_and_arguments(registry):
    cls, implied = registry.resolve("unit_circle")
    assert (cls.__name__, implied) == ("Circle", {"radius": 1})
    implied["radius"] = 2
    assert registry.resolve("unit_circle")[1] == {"radius": 1}
    assert registry.name_of(cls) == "circle"


def test_an_unknown_name_is_answered_by_the_nearest(registry):
    with pytest.raises(UnknownNameError, match=r"unknown shape 'sqare': did you mean 'square'\?"):
        registry["sqare"]


def test_a_name_is_given_once(registry):
    with pytest.raises(MetapriorError, match="'circle' is registered already, by Circle"):
        registry.register("circle")(Point)


def test_entry_points_are_loaded_before_a_name_is_looked_up(monkeypatch):
    registry = Registry("shape")

    class EntryPoint:
        name = "theirs"

        def load(self):
            registry.register("theirs")(Point)

    monkeypatch.setattr(
        "importlib.metadata.entry_points", lambda group: [EntryPoint()] if group.endswith("shapes") else []
    )
    assert "theirs" in registry
    assert registry["theirs"] is Point


def test_the_methods_of_the_library_are_registered():
    assert {"maml", "fomaml", "anil", "meta_sgd", "reptile", "protonet", "ridge"} <= set(priors)
    assert {"scratch", "fine_tune", "frozen"} <= set(priors)
    assert {"mlp", "conv4", "resnet12"} <= set(nets)
    assert {"sinusoid", "omniglot"} <= set(sources)


@pytest.mark.parametrize(
    "thing",
    [
        MLP(3, 2, hidden=(5, 4), seed=3),
        Conv4(1, 16, 3, width=4, norm="group"),
        MAML(MLP(3, 2, hidden=()), inner_steps=3, step_size=0.5, adapted="head"),
        Sinusoid(shots=3, amplitude=(1.0, 2.0)),
    ],
)
def test_a_description_survives_json_and_rebuilds(thing):
    description = json.loads(json.dumps(describe(thing)))
    again = build(description)
    assert type(again) is type(thing)
    assert describe(again) == describe(thing)


def test_dicts_of_descriptions_are_rebuilt_too():
    @sources.register("_test_holder")
    class Holder:
        def __init__(self, parts: dict):
            self.parts = parts

    try:
        again = build(json.loads(json.dumps(describe(Holder({"net": MLP(1, 1), "sizes": [1, 2]})))))
        assert isinstance(again.parts["net"], MLP)
        assert again.parts["sizes"] == (1, 2)
    finally:
        del sources._classes["_test_holder"]


def test_a_foreign_network_is_named():
    description = describe(MAML(nn.Linear(1, 1)))
    assert description["arguments"]["net"] == {"foreign": "torch.nn.modules.linear.Linear"}


def test_what_is_not_registered_says_so():
    with pytest.raises(MetapriorError, match=r"Point is not registered.*priors\.register"):
        describe(Point("a"))


def test_an_argument_that_was_not_stored_is_named():
    class Forgetful:
        def __init__(self, kept: int, lost: int):
            self.kept = kept

    with pytest.raises(MetapriorError, match="Forgetful: expected its constructor's argument 'lost' stored"):
        arguments(Forgetful(1, 2))


def test_building_by_a_presets_name_keeps_what_it_implies():
    net = MLP(inputs=1, outputs=1, seed=0)
    built = build({"prior": "fomaml", "arguments": {"net": describe(net)}})
    assert built.first_order
    assert not build({"prior": "fomaml", "arguments": {"net": describe(net), "first_order": False}}).first_order


def test_a_description_of_nothing_known_is_refused():
    with pytest.raises(MetapriorError, match="expected a description with 'prior', 'net' or 'source'"):
        build({"thing": "maml", "arguments": {}})


def test_building_does_not_touch_the_global_random_state():
    before = torch.get_rng_state()
    build(describe(MAML(Conv4(1, 16, 3, width=4))))
    assert torch.equal(before, torch.get_rng_state())
