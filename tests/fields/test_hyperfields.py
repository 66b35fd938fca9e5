import pytest
import torch

from metaprior import load, save
from metaprior.acquire import acquire
from metaprior.errors import MetapriorError, ShapeError
from metaprior.evaluate import evaluate
from metaprior.fields import HyperFieldNet, HyperFields, Rays, Scenes, encode, render
from metaprior.nets import net_for
from metaprior.tasks import Episode, Examples
from metaprior.testing import ToyTasks, conformance_checks

SCENES = Scenes(shapes=2, colours=2, held_out=1, size=8, views=5, shots=6, queries=10, text="words")
CHECKS = dict(conformance_checks())


CONTRACT = {
    "default": {"directions": True},
    "inner steps and whole gradients": {"inner_steps": 2, "stop_gradient": False},
    "biases alone": {"writes": "biases", "culling": 0},
}


@pytest.mark.parametrize("check", list(CHECKS))
@pytest.mark.parametrize("form", list(CONTRACT))
def test_contract(check, form, prior):
    if check == "memory":
        pytest.skip("what a prior keeps does not depend on its steps, and 200 episodes take long")
    CHECKS[check](lambda spec: prior(**CONTRACT[form]), SCENES)


@pytest.mark.parametrize("directions", [False, True])
def test_a_field_depends_on_its_prompt_alone(directions, prior, told):
    own = told(prior(directions=directions))
    prompts = ["a red ball", "a blue box on a red torus", "a green cone"]
    together = own.start(3, about=prompts)
    for place, prompt in enumerate(prompts):
        alone = own.start(1, about=[prompt])  # no padding, no neighbours
        for name, value in alone.weights.items():
            torch.testing.assert_close(value[0], together.weights[name][place], atol=1e-5, rtol=1e-4)
    rays = torch.cat(list(SCENES.cameras[:3].rays()), dim=-1)
    whole = own.predict(together, rays)
    order = torch.randperm(rays.shape[1], generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(own.predict(together, rays[:, order]), whole[:, order])
    parts = [own.predict(together, part) for part in rays.split(7, dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)


def test_prompts_in_another_order_of_words_differ(prior):
    state = prior().start(2, about=["a red ball on a blue box", "a blue ball on a red box"])
    assert (state.code[0] - state.code[1]).abs().max() > 1e-3


def test_leaving_out_what_is_empty_hardly_changes_the_loss(prior):
    own = prior(samples=24)
    with torch.no_grad():
        own.net.writers[-1].base[-4] -= 4.0  # of the logarithm of the density, so that there is empty space
        episode = SCENES.sample(3, torch.Generator().manual_seed(0))
        losses = []
        for culling in (0, 12):
            own.culling = culling
            losses.append(own.loss(episode).item())
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.1)


def acquired(own, source, steps=150):
    acquire(own, source, steps=steps, tasks_per_step=2, learning_rate=5e-3, validations=0)
    return own


def test_points_teach_what_rays_see(prior):
    source = Scenes(
        shapes=2, colours=1, held_out=0, size=12, views=5, shots=1, queries=512, teaches="points", text="words"
    )
    before = evaluate(prior(samples=16), source, 8).mean
    assert evaluate(acquired(prior(samples=16, width=24, units=16), source), source, 8).mean < 0.25 * before


def test_a_preview_shows_teachers_and_fields_and_tells_of_collapse(prior):
    seen = prior().preview(SCENES)
    assert seen.picture.startswith(b"\x89PNG")
    own = prior()
    with torch.no_grad():
        own.net.writers[-1].base[-4] -= 100.0
    assert own.preview(SCENES).trouble == "2 of 2 fields show next to nothing"
    assert own.preview(ToyTasks("regression")) is None


def test_acquire_keeps_previews_and_warns_of_collapse(tmp_path, prior):
    own = prior()
    with torch.no_grad():
        own.net.writers[-1].base[-4] -= 100.0
    with pytest.warns(UserWarning, match=r"preview\.png: 2 of 2 fields show next to nothing"):
        acquire(own, SCENES, steps=2, learning_rate=1e-6, validations=2, validation_tasks=2, out=tmp_path)
    assert (tmp_path / "preview.png").stat().st_size > 200


def test_the_belief_begins_as_a_plain_field_does():
    """Generated layers have the spread of plain ones, so that nothing fades or grows."""
    for generator in ("low_rank", "multiplicative", "chunked"):
        net = HyperFieldNet(64, generator=generator, dynamic=False)
        weights = net.write(net.read(*encode(["a red ball", "a blue box"], "words")))
        plain = net.field.initial(1, torch.Generator().manual_seed(1))
        for name in ("layers.0.weight", "layers.2.weight"):
            assert weights[name].std().item() == pytest.approx(plain[name].std().item(), rel=0.35)


def test_inner_steps_bring_a_field_closer(prior):
    own = prior(inner_steps=10, step_size=0.5)
    episode = SCENES.sample(3, torch.Generator().manual_seed(0), "test")
    for adapts in ("code", "weights"):
        own.adapts = adapts
        with torch.no_grad():
            before = own.start(3, episode.about)
            after = own.observe(before, episode.support)
        losses = [
            (own.predict(state, episode.support.x) - episode.support.y).square().mean() for state in (before, after)
        ]
        assert losses[1] < losses[0]
        assert torch.equal(before.code, after.code) == (adapts == "weights")


def test_predictions_are_renderings(prior):
    own = prior()
    state = own.start(2, about=["a red ball", "a blue box"])
    rays = Rays(*(part[:2] for part in SCENES.cameras.rays()))
    seen = render(own.net.field, own.field_weights(state), rays, 8)
    torch.testing.assert_close(own.predict(state, torch.cat(list(rays), dim=-1))[..., :3], seen.colour)


def test_checkpoints_give_the_prior_back(tmp_path, prior):
    own = prior(inner_steps=1, adapts="weights")
    again = load(save(own, tmp_path))
    one, other = (each.start(1, about=["a red torus"]).weights["layers.2.bias"] for each in (own, again))
    assert torch.equal(one, other)
    assert (again.inner_steps, again.adapts, again.net.cells) == (1, "weights", 6)


def test_acquisition_lowers_the_loss_and_heeds_the_prompt(prior):
    own = prior(samples=12, width=16, units=16)
    source = Scenes(shapes=1, colours=2, held_out=0, size=8, views=10, shots=1, queries=64, text="words")
    before = evaluate(own, source, 20).mean
    acquire(own, source, steps=150, tasks_per_step=2, learning_rate=3e-3, validations=0)
    assert evaluate(own, source, 20).mean < 0.4 * before
    rays = torch.cat(list(source.cameras[:1].rays()), dim=-1).expand(2, -1, -1)
    with torch.no_grad():
        red, green = own.predict(own.start(2, about=["a red ball", "a green ball"]), rays).sum(1)
    assert red[0] > 1.5 * red[1]
    assert green[1] > 1.5 * green[0]


def test_depth_that_is_told_is_learned(prior):
    settings = {"shapes": 1, "colours": 2, "held_out": 0, "size": 8, "views": 5, "shots": 1, "queries": 64}
    source = Scenes(**settings, depth=True, text="words")
    episode = source.sample(2, torch.Generator().manual_seed(1))
    met, errors = episode.about["depth"] > 0, []
    for weight in (0.0, 0.1):
        own = prior(samples=16, depth_weight=weight)
        acquire(own, source, steps=60, tasks_per_step=2, learning_rate=5e-3, validations=0)
        with torch.no_grad():
            weights = own.net.whole(own.start(2, episode.about).weights)
            x = episode.query.x
            seen = render(own.net.field, weights, Rays(x[..., :3], x[..., 3:]), 16)
        errors.append((seen.depth * seen.opacity - episode.about["depth"])[met].square().mean())
    assert errors[1] < 0.5 * errors[0]


def test_the_loss_of_depth_is_a_mean_over_rays_that_meet_something(prior):
    own = prior(depth_weight=0.5, culling=0)
    source = Scenes(shapes=1, colours=2, held_out=0, size=8, views=5, shots=1, queries=64, depth=True, text="words")
    episode = source.sample(2, torch.Generator().manual_seed(0))
    about = {name: value for name, value in episode.about.items() if name != "depth"}
    plain = own.loss(Episode(episode.support, episode.query, about=about))
    weights, x = own.net.whole(own.start(2, about).weights), episode.query.x
    seen = render(own.net.field, weights, Rays(x[..., :3], x[..., 3:]), own.samples)
    met = episode.about["depth"] > 0
    error = (seen.depth * seen.opacity - episode.about["depth"])[met].square().mean()
    torch.testing.assert_close(own.loss(episode), plain + 0.5 * error)


def test_the_encoder_is_that_of_the_tasks():
    assert HyperFields.for_tasks(SCENES.spec).text == "words"
    assert net_for("hyper_field", SCENES.spec, headless=True).text_size == 64
    other = Scenes(shapes=1, colours=2, held_out=1, size=8, views=5)
    own = HyperFields.for_tasks(other.spec)
    assert (own.text, own.net.text_size) == ("minilm", 384)
    assert torch.isfinite(own.loss(other.sample(1, torch.Generator().manual_seed(0))))
    with pytest.raises(MetapriorError, match=r"is 'words', that of Scenes 'minilm'; give --tasks\.text words"):
        acquire(HyperFields.for_tasks(SCENES.spec), other, steps=1)


@pytest.mark.slow
def test_unseen_combinations_are_recognised():
    """Shapes and colours that were never met together: the nearest of all teachers is the right one."""
    source = Scenes(
        shapes=5, colours=6, held_out=2, size=16, views=20, shots=1, queries=1024, teaches="points", text="words"
    )
    own = HyperFields.for_tasks(source.spec, samples=24)
    acquire(own, source, steps=400, tasks_per_step=8, learning_rate=2e-3, validations=0)
    every, unseen = source.prompts("train") + source.prompts("test"), source.prompts("test")
    views = {prompt: source.pictures(prompt) for prompt in every}
    rays = torch.cat(list(views[unseen[0]].cameras.rays()), dim=-1)
    right = 0
    with torch.no_grad():
        for prompt in unseen:
            seen = own.predict(own.start(1, about=[prompt]), rays)[0]
            errors = {known: (seen - view.rays()[1]).square().mean() for known, view in views.items()}
            right += min(errors, key=errors.get) == prompt
    assert right >= 0.9 * len(unseen)


def test_wrong_settings_are_named(prior):
    with pytest.raises(MetapriorError, match="net: expected a HyperFieldNet, got Linear"):
        HyperFields(torch.nn.Linear(1, 1))
    with pytest.raises(MetapriorError, match="unknown choice for adapts 'all'"):
        prior(adapts="all")
    with pytest.raises(MetapriorError, match="unknown choice for writes 'all'"):
        prior(writes="all")
    with pytest.raises(ShapeError, match=r"about: expected tokens of shape \(T, L, D\) with T = 2 and D = 64"):
        prior().start(2, about=["a red ball"])
    with pytest.raises(ShapeError, match="T = 2"):
        prior().observe(prior().start(2), Examples(torch.zeros(3, 4, 6), torch.zeros(3, 4, 4)))


def test_the_entropy_of_opacity_counts_as_much_as_it_is_told_to(prior):
    source = Scenes(shapes=1, colours=2, held_out=0, size=8, views=5, shots=1, queries=64, text="words")
    episode = source.sample(2, torch.Generator().manual_seed(0))
    plain, weighted = (prior(culling=0, entropy_weight=weight) for weight in (0.0, 0.25))
    opacity = plain.predict(plain.start(2, about=episode.about), episode.query.x)[..., 3].double().clamp(1e-5, 1 - 1e-5)
    entropy = -(opacity * opacity.log() + (1 - opacity) * (1 - opacity).log()).mean()
    assert entropy > 0.01
    assert (weighted.loss(episode) - plain.loss(episode)).item() == pytest.approx(0.25 * entropy.item(), rel=1e-3)
    weighted.loss(episode).backward()
    assert all(value.grad is None or value.grad.isfinite().all() for value in weighted.parameters())


def test_the_gradient_of_entropy_is_that_of_finite_differences_and_leaves_padding_out(prior):
    own = prior(entropy_weight=0.5).double()
    seen = torch.rand(2, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    real = torch.tensor([[True] * 5, [True, True, False, False, False]])
    query = Examples(torch.zeros(2, 5, 6, dtype=torch.float64), torch.zeros(2, 5, 4, dtype=torch.float64), real)
    assert torch.autograd.gradcheck(lambda seen: own._error(seen, query, None), seen)
    (slope,) = torch.autograd.grad(own._error(seen, query, None), seen)
    assert not slope[1, 2:].any()


@pytest.mark.parametrize("weight", ["depth_weight", "entropy_weight"])
def test_weights_of_losses_are_not_negative(prior, weight):
    with pytest.raises(MetapriorError, match="depth_weight, entropy_weight: expected at least 0"):
        prior(**{weight: -0.1})
