import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metaprior.errors import DataError, MetapriorError
from metaprior.fields.scenes import COLOURS, MATERIALS, RELATIONS, SHAPES, draw, every, held_out, parse
from metaprior.fields.scenes.grammar import Description, Thing

things = st.builds(Thing, st.sampled_from(SHAPES), st.sampled_from(list(COLOURS)), st.sampled_from(MATERIALS))
descriptions = st.lists(things, min_size=1, max_size=3).flatmap(
    lambda own: st.lists(st.sampled_from(RELATIONS), min_size=len(own) - 1, max_size=len(own) - 1).map(
        lambda relations: Description(tuple(own), tuple(relations))
    )
)


@given(descriptions)
def test_prompts_and_descriptions_are_one_to_one(description):
    assert parse(str(description)) == description


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("A shiny red torus, on a blue box!", "a glossy red torus on a blue box"),
        ("the violet donut on top of one gray cube", "a purple torus on a grey box"),
        ("red sphere to the left of an orange pill", "a red ball left of an orange capsule"),
        ("a red ball in front of the chequered white cup", "a red ball in front of a checkered white mug"),
        ("a ball, red and a box, blue", "a red ball left of a blue box"),
        ("a plain red ball", "a red ball"),
    ],
)
def test_synonyms(said, meant):
    assert str(parse(said)) == meant


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("", "prompt: expected words such as"),
        ("  ?! ", "prompt: expected words such as"),
        ("a red torsu", "unknown word 'torsu' in 'a red torsu': did you mean 'torus'"),
        ("a red xylophone", "unknown word 'xylophone' in 'a red xylophone': known shapes: ball"),
        ("a red", "expected a shape, such as 'torus', in 'a red'; got 'red'"),
        ("a torus", "expected a colour, such as 'red', in 'a torus'"),
        ("a red blue torus", "'blue' is out of place"),
        ("a red torus on", "got a relation with nothing beside it"),
        ("a red ball on a red ball on a red ball on a red ball", "things: expected 1 to 3"),
    ],
)
def test_wrong_prompts_are_answered_by_a_sentence(said, error):
    with pytest.raises(DataError, match=r"^[^\n]*$") as caught:
        parse(said)
    assert error in str(caught.value)


def test_unknown_names():
    with pytest.raises(MetapriorError, match="unknown colour 'rad': did you mean 'red'"):
        Thing("ball", "rad")
    with pytest.raises(MetapriorError, match="unknown relation 'onto'"):
        Description((Thing("ball", "red"),) * 2, ("onto",))


def test_the_protocol_of_held_out_colours():
    seen, unseen = held_out()
    assert len(seen) == 45
    assert len(unseen) == 27
    assert {*seen} | {*unseen} == {*every()}
    assert len({*every()}) == 72
    for shape in SHAPES[:9]:
        assert sum(shape in prompt for prompt in unseen) == 3
    counts = [sum(colour in prompt for prompt in seen) for colour in list(COLOURS)[:8]]
    assert min(counts) >= 5


def test_drawing_depends_on_the_generator_alone():
    one, other = (draw(20, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert one == draw(20, torch.Generator().manual_seed(0)) != other
    assert all(str(parse(prompt)) == prompt for prompt in one)
    pairs = draw(20, torch.Generator().manual_seed(0), things=(2, 2), relations=("on",), materials=("matte",))
    assert all(parse(prompt).relations == ("on",) for prompt in pairs)
