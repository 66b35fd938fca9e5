"""Priors, estimators and functions as the protocol asks them: values with how far off they may be."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.neighbors import KNeighborsRegressor

from metaprior import Ridge
from metaprior.errors import DataError, MetapriorError
from metaprior.molecules import AssayTable, MultitaskProbe, assay_protocol
from metaprior.nets import MLP

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
    with pytest.raises(DataError, match="sizes: expected at least one size of the support, got none"):
        assay_protocol(KNeighborsRegressor(), tasks, [])
    with pytest.raises(MetapriorError, match="method: KNeighborsRegressor gives no probabilities of classes"):
        assay_protocol(KNeighborsRegressor(), tasks, [8], draws=1)


def test_a_prior_that_knows_no_deviation_has_that_of_the_jackknife():
    tasks = AssayTable(
        "examples/molecules_assay.csv", target="logp", kind="regression", by="random", splits=(0.5, 0.0, 0.5)
    )
    row = assay_protocol(Ridge.for_tasks(tasks.spec, MLP(2048, hidden=(8,))), tasks, [8], draws=4).rows[0]
    assert 0.6 < row["coverage"] <= 1
