"""Priors, estimators and functions as the protocol asks them: values with how far off they may be."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from metaprior import Ridge
from metaprior.errors import DataError, MetapriorError
from metaprior.molecules import AssayTable, MultitaskProbe, assay_protocol
from metaprior.molecules.methods import predictor_of
from metaprior.nets import MLP
from metaprior.tasks import Episode, Examples

pytest.importorskip("rdkit")


def test_deviations_come_from_priors_and_regressors_that_say_them():
    file = "examples/molecules_assay.csv"
    tasks = AssayTable(file, target="logp", kind="regression", by="random", splits=(0.5, 0.0, 0.5))
    says = assay_protocol(MultitaskProbe.for_tasks(tasks.spec, MLP(2048, hidden=(8,))), tasks, [8], draws=1).rows[0]
    process = assay_protocol(GaussianProcessRegressor(), tasks, [8], draws=1).rows[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        crossed = assay_protocol(KNeighborsRegressor(2), tasks, [8], draws=4).rows[0]
        silent = assay_protocol(lambda episode: torch.zeros(episode.query.size), tasks, [8], draws=1).rows[0]
    for row in (says, process, crossed):
        assert 0 < row["calibration_error"] < 0.6
        assert 0 < row["coverage"] <= 1
    assert crossed["coverage"] > 0.7
    assert np.isnan(silent["coverage"])


def test_what_cannot_be_scored_is_told():
    tasks = AssayTable("examples/molecules_assay.csv", target="activity", by="random", splits=(0.5, 0.0, 0.5))
    with pytest.raises(DataError, match=r"sizes: expected sizes of the support, each 0 or more, got \[\]"):
        assay_protocol(KNeighborsRegressor(), tasks, [])
    with pytest.raises(MetapriorError, match="method: KNeighborsRegressor gives no probabilities of classes"):
        assay_protocol(KNeighborsRegressor(), tasks, [8], draws=1)


def test_a_prior_that_knows_no_deviation_has_that_of_the_jackknife():
    tasks = AssayTable(
        "examples/molecules_assay.csv", target="logp", kind="regression", by="random", splits=(0.5, 0.0, 0.5)
    )
    row = assay_protocol(Ridge.for_tasks(tasks.spec, MLP(2048, hidden=(8,))), tasks, [8], draws=4).rows[0]
    assert 0.6 < row["coverage"] <= 1


def test_a_support_of_one_class_says_that_class():
    tasks = AssayTable("examples/molecules_assay.csv", target="activity", by="random", splits=(0.5, 0.0, 0.5))
    episode = tasks.episode("test", 0, 4, torch.Generator().manual_seed(0))
    alone = Episode(Examples(episode.support.x, torch.ones(1, 4, dtype=torch.long)), episode.query, ways=episode.ways)
    assert predictor_of(KNeighborsClassifier(1), "classification")(alone).unique().tolist() == [1.0]
    for sizes, draws, text in (([-4], 1, "sizes: expected .* got \\[-4\\]"), ([4], 0, "draws: expected")):
        with pytest.raises(MetapriorError, match=text):
            assay_protocol(KNeighborsClassifier(1), tasks, sizes, draws)
