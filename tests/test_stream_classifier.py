"""Priors behind the river API."""

import importlib
import itertools
import pickle
import subprocess
import sys

import pytest
import torch
from river import checks, datasets, evaluate, metrics, preprocessing
from torch import nn

from metaprior import MAML, DistributedMemory, ProtoNet, Ridge, load_state, save, save_state
from metaprior.errors import DataError, MetapriorError
from metaprior.nets import MLP, Conv4
from metaprior.registry import priors
from metaprior.stream_classifier import PriorStreamClassifier
from metaprior.tasks import Examples, Stream, TaskSpec
from metaprior.tree import tensors

PHISHING = list(itertools.islice(datasets.Phishing(), 60))
NAMES = list(PHISHING[0][0])
RANDOM = torch.Generator().manual_seed(0)
X, Y = torch.rand(9, 4, generator=RANDOM), torch.randint(3, (9,), generator=RANDOM).tolist()
ROWS = [dict(zip("abcd", row, strict=True)) for row in X.tolist()]


def memory(**arguments):
    return DistributedMemory(MLP(4, 3, hidden=(8, 6)), (4,), 3, **arguments).double()


def of_nine_features():
    return DistributedMemory(MLP(9, 2, hidden=(8,)), (9,), 2)


def fitting(classifier):
    """River's checks; those on data of other features than the classifier was told of are left out."""
    for check in checks.yield_checks(classifier):
        dataset = getattr(check, "keywords", {}).get("dataset")
        if dataset is not None:
            check.keywords["dataset"] = rows = list(itertools.islice(dataset, 40))
            if classifier.features not in (None, list(rows[0][0])):
                continue
        yield check


CLASSIFIERS = {
    "prototypes": PriorStreamClassifier(ProtoNet(nn.Flatten()).double()),
    "ridge": PriorStreamClassifier(Ridge(nn.Flatten()).double()),
    "memory": PriorStreamClassifier(of_nine_features().double(), features=NAMES),
    "memory that waits": PriorStreamClassifier(of_nine_features().double(), features=NAMES, early=False),
    "maml": PriorStreamClassifier(MAML(MLP(9, 2, hidden=(8,)), inner_steps=1).double(), features=NAMES),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_river_conformance(name):
    done = [check(CLASSIFIERS[name].clone()) or check.__name__ for check in fitting(CLASSIFIERS[name])]
    assert {"check_pickling", "check_emerging_features", "check_disappearing_features"} <= set(done)
    assert len(done) > 20


def delayed(model, delay):
    """Return the probabilities that a model gives to the rows in turn, each label `delay` steps after its row."""
    said = []
    for step, x in enumerate(ROWS):
        if step >= delay:
            model.learn_one(ROWS[step - delay], Y[step - delay])
        said.append(list(model.predict_proba_one(x).values()))
    return torch.tensor(said, dtype=torch.float64)


def followed(model, rows):
    """Return the probabilities that a model gives to rows, each before it learns it."""
    said = []
    for x, y in rows:
        said.append(model.predict_proba_one(x))
        model.learn_one(x, y)
    return said


@pytest.mark.parametrize("delay", [1, 3])
@pytest.mark.parametrize("early", [True, False])
def test_a_memory_says_what_it_says_of_a_stream(delay, early):
    prior = memory(late="hold" if early else "wait")
    stream = Stream(Examples(X[None].double(), torch.tensor(Y)[None]), delay)
    expected = prior.stream(stream)[0].softmax(-1)
    torch.testing.assert_close(delayed(PriorStreamClassifier(prior, classes=[0, 1, 2]), delay), expected)


@pytest.mark.parametrize(
    "prior", [ProtoNet(nn.Flatten(), ways=3), MAML(MLP(4, 3), inner_steps=1)], ids=["proto", "maml"]
)
def test_other_priors_say_what_they_say_of_a_stream(prior):
    prior = prior.double()
    expected = prior.stream(Stream(Examples(X[None].double(), torch.tensor(Y)[None]), 2))[0].softmax(-1)
    torch.testing.assert_close(delayed(PriorStreamClassifier(prior, classes=[0, 1, 2]), 2), expected)


def test_a_memory_takes_one_step_for_an_example(monkeypatch):
    for early in (True, False):
        model = PriorStreamClassifier(memory(), early=early)
        steps = []
        model.predict_proba_one(ROWS[0])
        run = model.prior_._run
        monkeypatch.setattr(model.prior_, "_run", lambda *parts, run=run, steps=steps: steps.append(1) or run(*parts))
        for x, y in zip(ROWS, Y, strict=True):
            model.predict_proba_one(x)
            model.learn_one(x, y)
        assert len(steps) == len(ROWS) - 1


def test_a_stream_goes_on_elsewhere_while_labels_are_on_their_way(tmp_path):
    def follow(model, steps):
        said = []
        for step in steps:
            if step >= 3:
                model.learn_one(ROWS[step - 3], Y[step - 3])
            said.append(list(model.predict_proba_one(ROWS[step]).values()))
        return said

    def begun():
        return PriorStreamClassifier(memory(), features="abcd", classes=[0, 1, 2], early=True)

    whole, first = begun(), begun()
    expected = follow(whole, range(9))
    assert len(whole.waiting_) == 3
    told = follow(first, range(5))
    save_state(first.prior_, first.belief, tmp_path / "state.safetensors")
    second = begun()
    second.belief = load_state(second.prior_, tmp_path / "state.safetensors")
    second.waiting_ = first.waiting_
    assert told + follow(second, range(5, 9)) == expected
    second.belief = None
    assert second.waiting_ == []
    assert second.predict_proba_one(ROWS[0]) == begun().predict_proba_one(ROWS[0])


def test_an_example_that_was_not_predicted_enters_though_another_waits():
    model, plain = (PriorStreamClassifier(memory(), features="abcd", classes=[0, 1, 2], early=True) for _ in range(2))
    model.predict_proba_one(ROWS[0])
    model.learn_one(ROWS[1], 1)
    plain.predict_proba_one(ROWS[0])
    plain.predict_proba_one(ROWS[1])
    plain.learn_one(ROWS[1], 1)
    for part, expected in zip(tensors(model.belief), tensors(plain.belief), strict=True):
        torch.testing.assert_close(part, expected)
    assert len(model.waiting_) == len(plain.waiting_) == 1


def test_predicting_alone_changes_no_belief_unless_early():
    for prior, early in ((memory(), False), (ProtoNet(nn.Flatten()), None)):
        model = PriorStreamClassifier(prior, early=early)
        model.learn_one(ROWS[0], "a")
        before = model.belief
        model.predict_proba_one(ROWS[1])
        assert model.belief is before
    model = PriorStreamClassifier(memory())
    model.predict_proba_one(ROWS[0])
    once = model.belief
    model.predict_proba_one(dict(ROWS[0]))
    assert model.belief is once, "the same input is not there twice"


def test_labels_of_any_type_are_numbered_as_they_come():
    model = PriorStreamClassifier(ProtoNet(nn.Flatten()))
    assert model.predict_proba_one(ROWS[0]) == {}
    assert model.predict_one(ROWS[0]) is None
    for x, y in zip(ROWS, ["b", 3, True, "b"], strict=False):
        model.learn_one(x, y)
    assert model.classes_ == ["b", 3, True]
    assert model.predict_one(ROWS[1]) == 3
    assert sum(model.predict_proba_one(ROWS[5]).values()) == pytest.approx(1)


def test_one_label_too_many_is_refused_and_nothing_is_lost():
    for early in (True, False):
        model = PriorStreamClassifier(memory(), early=early)
        for x, y in zip(ROWS, "abca", strict=False):
            model.predict_proba_one(x)
            model.learn_one(x, y)
        said = model.predict_proba_one(ROWS[4])
        with pytest.raises(
            DataError, match="y: expected one of 'a', 'b', 'c', as many labels as the prior has outputs; got 'd'"
        ):
            model.learn_one(ROWS[4], "d")
        assert model.predict_proba_one(ROWS[4]) == said
        assert model.classes_ == ["a", "b", "c"]


def test_features_are_known_by_name():
    model = PriorStreamClassifier(memory(), features=["d", "c", "b", "a"])
    model.learn_one({"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0, "new": 9.0}, "x")
    other = PriorStreamClassifier(memory())
    other.learn_one({"A": 1.0, "B": 2.0, "C": 3.0, "D": 4.0}, "x")
    assert other.features_ == ["A", "B", "C", "D"]
    for part, expected in zip(tensors(model.belief), tensors(other.belief), strict=True):
        torch.testing.assert_close(part, expected)
    model.learn_one({"d": 1.0, "c": None, "b": float("nan")}, "x")
    other.learn_one({"A": 1.0, "B": 0, "C": 0.0, "D": False}, "x")
    for part, expected in zip(tensors(model.belief), tensors(other.belief), strict=True):
        torch.testing.assert_close(part, expected)


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        ({"a": 1.0}, r"x: expected 4 features, which the prior takes as inputs of shape \(4,\); got 1: name them by"),
        ({}, "x: expected at least one feature, got none"),
        (dict(ROWS[0], a="red"), "x: expected a finite number for 'a', got 'red'"),
        (dict(ROWS[0], a=float("inf")), "x: expected a finite number for 'a', got inf"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_and_nothing_is_lost(x, sentence):
    model = PriorStreamClassifier(memory())
    for learn in (model.predict_proba_one, lambda x: model.learn_one(x, 0)):
        with pytest.raises(DataError, match=sentence):
            learn(x)
    assert (model.features_, model.classes_, model.belief) == ([], [], None)
    model.learn_one(ROWS[0], 0)


def test_what_is_no_label_or_no_prior_is_refused(tmp_path):
    with pytest.raises(DataError, match="y: expected a label, got None"):
        PriorStreamClassifier(memory()).learn_one(ROWS[0], None)
    with pytest.raises(MetapriorError, match="prior: expected a prior, a path or 'zoo:NAME', got a int"):
        PriorStreamClassifier(3).learn_one(ROWS[0], 0)
    with pytest.raises(MetapriorError, match="no such checkpoint"):
        PriorStreamClassifier(tmp_path / "absent").predict_one(ROWS[0])


def test_pixels_become_images():
    model = PriorStreamClassifier(ProtoNet(Conv4(1, 16, width=8)))
    pixels = {f"pixel{place}": place / 256 for place in range(256)}
    model.learn_one(pixels, "seven")
    assert model.predict_one(pixels) == "seven"


def test_a_stream_goes_on_after_a_pickle_or_a_stored_state(tmp_path):
    save(memory(), tmp_path / "run")
    whole = PriorStreamClassifier(str(tmp_path / "run"))
    for x, y in zip(ROWS[:5], Y, strict=False):
        whole.learn_one(x, y)
    stored = pickle.dumps(whole)
    assert len(stored) < (tmp_path / "run" / "prior.safetensors").stat().st_size, "its own state, not the prior"
    save_state(whole.prior_, whole.belief, tmp_path / "state.safetensors")
    resumed = PriorStreamClassifier(tmp_path / "run", features=whole.features_, classes=whole.classes_)
    resumed.belief = load_state(resumed.prior_, tmp_path / "state.safetensors")
    rest = list(zip(ROWS[5:], Y[5:], strict=True))
    expected = followed(whole, rest)
    for model in (pickle.loads(stored), resumed):
        assert followed(model, rest) == expected


def test_the_prior_is_left_as_it_was_and_clones_know_nothing():
    prior = memory().train()
    before = {name: value.clone() for name, value in prior.state_dict().items()}
    model = PriorStreamClassifier(prior)
    model.learn_one(ROWS[0], 0)
    assert prior.training
    assert all(torch.equal(value, before[name]) for name, value in prior.state_dict().items())
    assert not any(leaf.requires_grad for leaf in tensors(model.belief))
    assert model.clone().belief is None
    assert model.clone().classes_ == []


@pytest.mark.parametrize("delay", [None, 5])
def test_it_is_the_end_of_a_pipeline(delay):
    model = preprocessing.StandardScaler() | PriorStreamClassifier(ProtoNet(nn.Flatten()))
    assert evaluate.progressive_val_score(PHISHING, model, metrics.Accuracy(), delay=delay).get() > 0.7


def test_metaprior_alone_does_not_import_river():
    command = "import sys, metaprior; raise SystemExit('river' in sys.modules)"
    subprocess.run([sys.executable, "-c", command], check=True)


def test_without_river_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "river.base", None)
    monkeypatch.delitem(sys.modules, "metaprior.stream_classifier")
    with pytest.raises(MetapriorError, match=r"needs the package 'river': pip install \"metaprior\[streams\]\""):
        importlib.import_module("metaprior.stream_classifier")


CLASSES = {name: priors.resolve(name)[0] for name in priors}
CLASSIFYING = [name for name, kind in CLASSES.items() if "classification" in kind.kinds and kind.needs_net is None]


@pytest.mark.parametrize("name", CLASSIFYING)
def test_every_prior_learns_behind_the_api(name):
    prior, implied = priors.resolve(name)
    spec = TaskSpec("classification", (4,), 3, pool=6)
    model = PriorStreamClassifier(prior.for_tasks(spec, **implied))
    for x, y in zip(ROWS, Y, strict=True):
        said = model.predict_proba_one(x)
        assert not said or sum(said.values()) == pytest.approx(1, abs=1e-4)
        model.learn_one(x, y)
    assert sorted(model.classes_) == sorted(set(Y))


def test_a_label_is_something():
    for nothing in (None, float("nan")):
        with pytest.raises(DataError, match="y: expected a label, got"):
            PriorStreamClassifier(ProtoNet(nn.Flatten())).learn_one({"a": 1.0}, nothing)
