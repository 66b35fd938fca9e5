"""The library's priors on molecules, as they are."""

import pytest

from metaprior import acquire
from metaprior.molecules import NCI, assay_protocol
from metaprior.nets import net_for
from metaprior.registry import priors

pytest.importorskip("rdkit")
PRIORS = ["adkf", "cnp", "dkt", "hopfield", "maml", "multitask_probe", "niw_meta", "protonet", "ridge"]


@pytest.mark.parametrize("name", PRIORS)
def test_runs_on_fingerprints(name):
    source = NCI(molecules=300, shots=(4, 12), queries=8)
    cls, implied = priors.resolve(name)
    prior = cls.for_tasks(source.spec, net_for("mlp", source.spec, cls.headless, hidden=(16,)), **implied)
    assert acquire(prior, source, steps=2, tasks_per_step=4, validations=0).log[-1].step == 2
    found = assay_protocol(prior, source, sizes=[16], draws=1, tasks=2)
    assert -1 < found.rows[0]["delta_auprc"] < 1
    assert 0 <= found.rows[0]["calibration_error"] <= 1


@pytest.mark.parametrize("name", ["adkf", "dkt", "niw_meta"])
def test_values_have_a_deviation_of_the_prior_itself(name):
    import torch

    source = NCI(molecules=300, kind="regression", shots=16, queries=8)
    cls = priors[name]
    prior = cls.for_tasks(source.spec, net_for("mlp", source.spec, cls.headless, hidden=(16,)))
    episode = source.sample(2, torch.Generator().manual_seed(0))
    state = prior.observe(prior.start(2), episode.support)
    deviation = prior.deviation(state, episode.query.x)
    assert deviation is not None
    assert deviation.shape == (2, 8, 1)
    assert (deviation > 0).all()
