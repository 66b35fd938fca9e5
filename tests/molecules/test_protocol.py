"""The protocol of FS-Mol: any prior, any assays."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.neighbors import KNeighborsRegressor

from metaprior import MAML, ProtoNet, Ridge, acquire
from metaprior.controls import FineTune
from metaprior.errors import DataError, MetapriorError
from metaprior.hyper import Hypernet
from metaprior.molecules import NCI, AssayTable, MultitaskProbe, assay_protocol
from metaprior.molecules.protocol import scores_of
from metaprior.nets import MLP

pytest.importorskip("rdkit")


@pytest.mark.parametrize(
    "prior",
    [
        lambda spec: ProtoNet.for_tasks(spec, MLP(2048, hidden=(8,))),
        lambda spec: Ridge.for_tasks(spec, MLP(2048, hidden=(8,))),
        lambda spec: MAML.for_tasks(spec, MLP(2048, 2, hidden=(8,))),
        lambda spec: FineTune.for_tasks(spec, MLP(2048, hidden=(8,)), steps=2),
        lambda spec: Hypernet.for_tasks(spec, MLP(2048, 2, hidden=(8,))),
    ],
    ids=["protonet", "ridge", "maml", "fine_tune", "hypernet"],
)
def test_the_priors_of_the_library_run_unchanged(prior):
    nci = NCI(shots=16, queries=20, molecules=300)
    acquired = acquire(prior(nci.spec), nci, steps=2, tasks_per_step=2, validations=1, validation_tasks=3)
    found = assay_protocol(acquired.prior, nci, sizes=[16], draws=1, tasks=2)
    assert found.rows[0]["tasks"] == 2


def test_calibration_of_values_is_that_of_what_was_said():
    random = torch.Generator().manual_seed(0)
    spread = torch.rand(20_000, generator=random) + 0.5
    true = torch.randn(20_000, generator=random) * spread
    found = {factor: scores_of(torch.zeros(20_000), true, factor * spread) for factor in (0.25, 1.0, 4.0)}
    assert found[1.0]["calibration_error"] < 0.01
    assert found[1.0]["coverage"] == pytest.approx(0.95, abs=0.005)
    assert found[0.25]["coverage"] == pytest.approx(0.376, abs=0.01), "of a normal within 0.49 deviations"
    assert found[4.0]["coverage"] == 1
    assert min(found[0.25]["calibration_error"], found[4.0]["calibration_error"]) > 0.1
    silent = scores_of(torch.zeros(5), true[:5])
    assert np.isnan([silent["calibration_error"], silent["coverage"]]).all()


def test_deviations_come_from_priors_and_regressors_that_say_them():
    file = "examples/molecules_assay.csv"
    tasks = AssayTable(file, target="logp", kind="regression", by="random", splits=(0.5, 0.0, 0.5))
    says = assay_protocol(MultitaskProbe.for_tasks(tasks.spec, MLP(2048, hidden=(8,))), tasks, [8], draws=1).rows[0]
    process = assay_protocol(GaussianProcessRegressor(), tasks, [8], draws=1).rows[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        silent = assay_protocol(KNeighborsRegressor(), tasks, [8], draws=1).rows[0]
    for row in (says, process):
        assert 0 < row["calibration_error"] < 0.6
        assert 0 < row["coverage"] <= 1
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


def test_one_class_of_queries_has_no_auroc_and_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = scores_of(torch.tensor([0.2, 0.9]), torch.tensor([1, 1]))
    assert found["delta_auprc"] == 0
    assert np.isnan(found["auroc"])
