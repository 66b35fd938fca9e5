import pytest
import torch

from metaprior import MAML, Reptile, Scratch, acquire
from metaprior.errors import UnknownNameError
from metaprior.fields import FieldNet, Scenes, render
from metaprior.nets import default_net

SCENES = Scenes(shapes=1, colours=2, held_out=1, size=8, views=5, shots=32, queries=32, text="words")


@pytest.mark.parametrize("encoder", ["frequency", "triplane"])
def test_it_sees_what_rendering_its_field_shows(encoder):
    net = FieldNet(encoder, width=8, cells=8, samples=8, directions=True)
    rays = SCENES.cameras[:1].rays()
    weights = {name: value[None] for name, value in net.own_weights.items()}
    assert net.field.shapes.keys() <= weights.keys()
    seen = render(net.field, weights, rays, 8)
    output = net(torch.cat(list(rays), dim=-1)[0])
    torch.testing.assert_close(output[:, :3], seen.colour[0])
    torch.testing.assert_close(output[:, 3], seen.opacity[0])


def test_priors_of_other_tasks_wrap_it_unchanged():
    """MAML and Reptile as they are: fields that were acquired so fit few rays better than ones that were not."""
    net = {"width": 16, "hidden": 2, "samples": 12, "octaves": 2}
    episode = SCENES.sample(2, torch.Generator().manual_seed(0), "test")
    for cls, step, arguments in ((MAML, 0.5, {"inner_steps": 2}), (Reptile, 0.5, {"inner_steps": 4})):
        errors = []
        for steps in (0, 25):
            prior = cls(FieldNet(**net), step_size=step, **arguments)
            if steps:
                rate = 3e-3 if cls is MAML else 0.5
                acquire(prior, SCENES, steps=steps, tasks_per_step=2, learning_rate=rate, validations=0)
            with torch.no_grad():
                state = prior.observe(prior.start(2), episode.support)
                errors.append((prior.predict(state, episode.query.x) - episode.query.y).square().mean())
        assert errors[1] < 0.9 * errors[0], cls


def test_second_derivatives_are_right():
    prior = MAML(FieldNet(width=4, hidden=1, samples=4, octaves=1), inner_steps=1, step_size=0.3).double()
    episode = SCENES.sample(1, torch.Generator().manual_seed(0)).to(torch.float64)
    name, weight = next((name, own) for name, own in prior.net.named_parameters() if own.ndim == 2)
    prior.loss(episode).backward()
    slope, place = weight.grad.flatten(), int(weight.grad.abs().argmax())
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight.view(-1)[place] += sign * 1e-5
            values.append(prior.loss(episode).item())
            weight.view(-1)[place] -= sign * 1e-5
    assert (values[0] - values[1]) / 2e-5 == pytest.approx(slope[place].item(), rel=1e-4), name


def test_it_is_what_rays_get_by_default():
    assert isinstance(default_net(SCENES.spec, 4), FieldNet)
    assert isinstance(Scratch.for_tasks(SCENES.spec).net, FieldNet)


def test_wrong_encoder():
    with pytest.raises(UnknownNameError, match="unknown encoder 'hash'"):
        FieldNet("hash")
