"""What all generators share: padding among examples is not encoded, tasks have losses of their own."""

import pytest
import torch

from metaprior.errors import MetapriorError
from metaprior.molecules.sequence_diffusion import SequenceDiffusion
from metaprior.nets import Transformer
from metaprior.tasks import Episode, Examples


def build(**arguments) -> SequenceDiffusion:
    return SequenceDiffusion(Transformer(4, 2, width=4, layers=1, heads=1), ("A", "B"), **arguments).eval()


def test_padding_among_examples_is_not_encoded():
    prior, x = build(), torch.tensor([[[1.0, 2.0, 0.0, 0.0], [2.0, 0.0, 0.0, 0.0], [99.0, 99.0, 99.0, 99.0]]])
    mask, y = torch.tensor([[True, True, False]]), torch.ones(1, 3, 1)
    state = prior.observe(prior.start(1), Examples(x, y, mask))
    assert state.features[0, 2].equal(torch.zeros(8))
    assert state.features[0, :2].equal(prior.encode(x[0, :2]))


def test_the_loss_of_a_task_does_not_depend_on_others_and_takes_a_batch_at_most():
    prior = build(batch=3)
    x = torch.randint(1, 3, (3, 5, 4), generator=torch.Generator().manual_seed(0)).float()
    x[0, :, 2:] = 0
    losses = [prior.loss(Episode(Examples(part[None, :2]), Examples(part[None, 2:]))) for part in x]
    together = prior.loss(Episode(Examples(x[:, :2]), Examples(x[:, 2:])))
    assert torch.allclose(together, torch.stack(losses).mean(), atol=1e-6)
    assert prior.loss(Episode(Examples(x[:, :2]), Examples(x[:, 2:3]))).equal(together)


def test_settings_of_features_are_looked_at_when_they_are_used():
    prior, x = build(), torch.tensor([[1.0, 2.0, 0.0, 0.0]])
    prior.layer = 0
    assert prior.encode(x).equal(prior.encode(x, layer=0))
    prior.noise_level = 2.0
    with pytest.raises(MetapriorError, match="noise_level: expected 0 to 1, got 2"):
        prior.encode(x)
    prior.noise_level, prior.layer = 0.0, 9
    with pytest.raises(MetapriorError, match="layer: expected 0 to"):
        prior.encode(x)


@pytest.mark.parametrize("wrong", [{"noise_level": 1.5}, {"decay": 1.0}])
def test_wrong_arguments(wrong):
    with pytest.raises(MetapriorError, match="decay, noise_level, draws: expected below 1, 0 to 1, 0 or more"):
        build(**wrong)
