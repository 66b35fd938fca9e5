"""Priors behind the scikit-learn API."""

import copy
import importlib
import sys

import numpy as np
import pandas
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from metaprior import MAML, ProtoNet, save
from metaprior.errors import DataError, MetapriorError
from metaprior.estimators import PriorClassifier, PriorRegressor
from metaprior.hyper import Hypernet
from metaprior.metric import Ridge
from metaprior.nets import MLP, Conv4
from metaprior.tasks import Examples


def expected_failures(estimator) -> dict[str, str]:
    """The checks that an estimator does not pass, with the reason; see the docstrings."""
    if estimator.prior is None:
        return {}
    return {"check_estimators_overwrite_params": "joblib.hash differs for a torch tensor and its copy"}


@parametrize_with_checks(
    [
        PriorClassifier(),
        PriorRegressor(),
        PriorClassifier(ProtoNet(nn.Flatten()).double()),
        PriorRegressor(Ridge(nn.Flatten(), outputs=1, scale=1.0).double()),
    ],
    expected_failed_checks=expected_failures,
)
def test_scikit_learn_conformance(estimator, check):
    check(estimator)


def blobs(features: int = 4, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    return make_blobs(60, n_features=features, centers=classes, random_state=0)


def card_target(**target) -> dict:
    return {"inputs": {"kind": "table", "columns": [], "target": target}, "spec": {"x_shape": [4]}}


def test_it_composes_with_the_rest_of_scikit_learn():
    x, y = blobs()
    assert cross_val_score(make_pipeline(MinMaxScaler(), PriorClassifier()), x, y).mean() > 0.9
    assert cross_val_score(PriorRegressor(), x, x @ [1, 2, 3, 4]).mean() > 0.95


def test_text_classes_keep_their_names():
    x, y = blobs()
    names = np.array(["c", "a", "b"])[y]
    classifier = PriorClassifier(ProtoNet(nn.Flatten())).fit(x, names)
    assert classifier.classes_.tolist() == ["a", "b", "c"]
    assert classifier.score(x, names) > 0.9
    assert np.allclose(classifier.predict_proba(x).sum(1), 1)


def test_a_prior_is_adapted_as_it_would_be_without():
    x, y = blobs()
    prior = MAML(MLP(4, 3), inner_steps=3)
    classifier = PriorClassifier(prior).fit(x, y)
    rows = torch.tensor(x, dtype=torch.float32)[None]
    state = prior.observe(prior.start(1), Examples(rows, torch.tensor(y)[None]))
    expected = prior.predict(state, rows)[0].softmax(-1)
    assert np.allclose(classifier.predict_proba(x), expected.detach().numpy(), atol=1e-5)


def test_the_prior_is_left_as_it_was():
    x, y = blobs()
    prior = MAML(MLP(4, 3), inner_steps=3).train()
    before = copy.deepcopy(prior.state_dict())
    PriorClassifier(prior).fit(x, y).predict(x)
    assert prior.training
    assert all(torch.equal(value, before[name]) for name, value in prior.state_dict().items())


def test_rows_of_pixels_become_images():
    classifier = PriorClassifier(ProtoNet(Conv4(1, 16, width=8)))
    x = np.random.default_rng(0).random((6, 256))
    assert classifier.fit(x, [0, 0, 1, 1, 2, 2]).predict(x).shape == (6,)
    assert classifier.x_shape_ == (1, 16, 16)
    assert clone(classifier).prior is not None
    with pytest.raises(ValueError, match=r"X: expected rows of 256 features, .* of shape \(1, 16, 16\); got 4"):
        classifier.fit(*blobs())


def test_a_checkpoint_and_the_classes_that_it_was_acquired_on(tmp_path):
    save(MAML(MLP(4, 3)), tmp_path, **card_target(kind="classification", classes=["0", "1", "2"]))
    x, y = blobs()
    few = y != 1
    classifier = PriorClassifier(tmp_path).fit(x[few], y[few].astype(float))
    assert classifier.outputs_.tolist() == [0, 2]
    assert classifier.predict_proba(x).shape == (60, 2)
    assert set(classifier.predict(x)) <= {0.0, 2.0}
    with pytest.raises(ValueError, match="y: class '7' was not among those of acquisition: 0, 1, 2"):
        classifier.fit(x, np.where(y == 1, 7, y))


def test_a_checkpoint_and_the_targets_that_it_was_acquired_on(tmp_path):
    save(Ridge(MLP(4), outputs=1, scale=1.0), tmp_path, **card_target(kind="regression", mean=100.0, scale=7.0))
    x, _ = blobs()
    y = 100 + 7 * x[:, 0]
    regressor = PriorRegressor(str(tmp_path)).fit(x, y)
    assert (regressor.y_mean_, regressor.y_scale_) == (100, 7)
    assert regressor.score(x, y) > 0.5


def test_several_targets():
    x, _ = blobs()
    y = x @ np.arange(8).reshape(4, 2)
    regressor = PriorRegressor().fit(x, y)
    assert regressor.predict(x).shape == (60, 2)
    assert regressor.score(x, y) > 0.99


def test_more_classes_than_the_prior_has_outputs():
    with pytest.raises(DataError, match="support: has 3 classes, more than the 2 outputs of the prior"):
        PriorClassifier(MAML(MLP(4, 2))).fit(*blobs())


def test_a_prior_for_the_other_kind_of_task():
    x, y = blobs()
    with pytest.raises(DataError, match="support: is for regression; ProtoNet is for classification tasks"):
        PriorRegressor(ProtoNet(nn.Flatten())).fit(x, y)


def test_no_prior_at_all(tmp_path):
    x, y = blobs()
    with pytest.raises(MetapriorError, match="prior: expected a prior, a path or 'zoo:NAME', got a int"):
        PriorClassifier(3).fit(x, y)
    with pytest.raises(MetapriorError, match="no such checkpoint"):
        PriorClassifier(tmp_path / "absent").fit(x, y)


def test_without_scikit_learn_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    monkeypatch.delitem(sys.modules, "metaprior.estimators")
    with pytest.raises(MetapriorError, match=r"needs the package 'scikit-learn': pip install \"metaprior\[tables\]\""):
        importlib.import_module("metaprior.estimators")


def test_molecules_that_are_none_or_not_several():
    structures, y = ["CCO", "CCN", "CCC", "CCCl"], [0, 1, 0, 1]
    with pytest.raises(DataError, match=r"X: expected several molecules, got one text: put it into a list, \['CCO'\]"):
        PriorClassifier("zoo:molecules").fit(structures, y).predict("CCO")
    with pytest.raises(DataError, match="X: molecule 0"):
        PriorClassifier("zoo:molecules").fit([None, *structures[1:]], y)
    with pytest.warns(UserWarning, match="y: all labels are '1', so that nothing else can be predicted"):
        PriorClassifier("zoo:molecules").fit(structures, [1] * 4)


def test_what_stands_for_no_label_is_no_class():
    structures = ["CCO", "CCN", "CCC", "CCCl"]
    for missing in (float("nan"), None, " "):
        with pytest.raises(ValueError, match="y: 1 of 4 labels are missing, the first at 2"):
            PriorClassifier("zoo:molecules").fit(structures, ["a", "b", missing, "a"])
    with pytest.raises(ValueError, match="y: expected numbers, got '>5' at 1; bounds such as '>5' are read from files"):
        PriorRegressor("zoo:molecules").fit(structures, ["4", ">5", "6", "7"])


def test_a_table_in_place_of_a_column_of_molecules():
    frame = pandas.DataFrame({"id": ["a", "b"], "smiles": ["CCO", "CCN"]})
    with pytest.raises(
        DataError, match=r"X: expected one column of molecules, got a table of 2 columns \(id, smiles\)"
    ):
        PriorClassifier("zoo:molecules").fit(frame, [0, 1])
    assert PriorClassifier("zoo:molecules").fit(frame[["smiles"]], [0, 1]).predict(frame["smiles"]).shape == (2,)


def test_deviations_beside_predictions():
    x, _ = blobs()
    noise = np.random.default_rng(0).standard_normal(60)
    regressor = PriorRegressor().fit(x, x @ [1, 2, 3, 4] + 3 * noise)
    values, spread = regressor.predict(x, return_std=True)
    assert np.array_equal(values, regressor.predict(x))
    assert np.allclose(spread, 3, rtol=0.3)
    assert PriorRegressor().fit(x, x @ np.ones((4, 2))).predict(x, return_std=True)[1].shape == (60, 2)


def test_equal_targets_say_nothing_of_deviations():
    values, spread = (
        PriorRegressor("zoo:molecules").fit(["CCO", "CCN", "CCC"], [5.5] * 3).predict(["CO"], return_std=True)
    )
    assert values == pytest.approx([5.5])
    assert np.isnan(spread).all()


def test_salts_are_told():
    with pytest.warns(UserWarning, match="X: one salt, mixture or charged structure was reduced to .*: row 1: kept"):
        PriorClassifier("zoo:molecules").fit(["CCO", "CCN.Cl", "CCC", "CCF"], [0, 1, 0, 1])


def test_structures_that_come_twice_are_told():
    with pytest.warns(UserWarning, match="X: some structures come several times, and count as often"):
        PriorClassifier("zoo:molecules").fit(["CCO", "OCC", "CCC", "CCF"], [0, 1, 0, 1])


def test_what_a_prior_is_told_an_estimator_cannot_tell(tmp_path):
    prior = Hypernet(MLP(1, 1, hidden=(4,)), about_size=3)
    with pytest.warns(UserWarning, match="prior: it is told what a task is about, which an estimator cannot tell it"):
        PriorRegressor(prior).fit([[0.0], [1.0]], [0.0, 1.0])
