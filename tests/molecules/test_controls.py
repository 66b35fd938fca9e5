"""Models of one assay alone, which know nothing of others."""

import pytest

from metaprior.molecules import NCI, assay_protocol
from metaprior.molecules.controls import control

pytest.importorskip("rdkit")


@pytest.mark.parametrize("name", ["random_forest", "knn", "linear", "tanimoto_gp"])
@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_controls_learn_something(name, kind):
    source = NCI(molecules=300, kind=kind)
    row = assay_protocol(control(name, kind), source, sizes=[32], draws=2, tasks=4).rows[0]
    # Neighbours say little of a value from 32 molecules; that it is better than a wrong guess shows in ranks alone.
    assert row["delta_auprc" if kind == "classification" else "r2"] > (-0.3 if name == "knn" else 0.05)
