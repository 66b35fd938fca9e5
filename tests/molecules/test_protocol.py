"""The protocol of FS-Mol: any prior, any assays."""

import pytest

from metaprior import MAML, ProtoNet, Ridge, acquire
from metaprior.controls import FineTune
from metaprior.hyper import Hypernet
from metaprior.molecules import NCI, assay_protocol
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
