"""What there is to choose from: every registered name, and a zoo whose scores are what its priors reach."""

import re

import pytest

import metaprior
from metaprior.errors import UnknownNameError
from metaprior.registry import nets, priors, sources

OWN = {"omniglot-protonet", "omniglot-ridge", "omniglot-maml", "glyphs-protonet"}


def test_every_registered_name_is_listed_with_a_sentence():
    listed = metaprior.list()
    for kind, registry in (("priors", priors), ("nets", nets), ("tasks", sources)):
        assert set(listed[kind]) == set(registry)
        assert all(text.endswith((".", "?", "!")) for text in listed[kind].values()), listed[kind]
    assert "first_order=True" in metaprior.list("priors")["priors"]["fomaml"]


def test_an_unknown_kind():
    with pytest.raises(UnknownNameError, match="unknown list 'prior': did you mean 'priors'"):
        metaprior.list("prior")


def test_each_prior_of_the_zoo_says_what_it_scored():
    zoo = metaprior.list("zoo")["zoo"]
    assert {f"zoo:{name}" for name in OWN} <= set(zoo)
    told = r"\d\d\.\d\d ± 0\.\d\d % on 1,000 test tasks, 5-way 1-shot, (in|trans)ductive; [\d,]+ parameters"
    assert all(re.fullmatch(told, zoo[f"zoo:{name}"]) for name in OWN)
    assert re.fullmatch(r"\d\d\.\d ± \d\.\d dB PSNR on 40 prompts never met; [\d,]+ parameters", zoo["zoo:scenes"])


@pytest.mark.parametrize("name", sorted(OWN))
def test_a_prior_of_the_zoo_reaches_its_score(name):
    source = metaprior.registry.build(metaprior.read_card(f"zoo:{name}")["tasks"])
    source.ways, source.shots, source.queries = 5, 1, 15
    try:
        tests = source.test_set(40, seed=5)
    except metaprior.errors.DataError:
        pytest.skip("the data of this prior are not on this machine")
    told = metaprior.read_card(f"zoo:{name}")["result"]["mean"]
    result = metaprior.evaluate(metaprior.load(f"zoo:{name}"), tests)
    assert abs(result.mean - told) < 4 * result.interval / 1.96
