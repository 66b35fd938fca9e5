"""Codes that are inferred: parts equal the whole, no gradient step is needed, and those that are taken help."""

import pytest
import torch

from metaprior import acquire, evaluate
from metaprior.errors import MetapriorError, ShapeError
from metaprior.hyper import Amortised
from metaprior.nets import MLP
from metaprior.registry import priors
from metaprior.tasks import Examples, Sinusoid
from metaprior.tree import tensors


def build(name="amortised", **arguments):
    cls, implied = priors.resolve(name)
    return cls.for_tasks(Sinusoid.spec, **(implied | arguments))


def episode(tasks=3):
    return Sinusoid(shots=6, queries=5).sample(tasks, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["amortised", "cnp"])
def test_examples_may_come_in_parts(name):
    prior, tasks = build(name), episode()
    whole = prior.observe(prior.start(3), tasks.support)
    parts = prior.start(3)
    for position in range(6):
        parts = prior.observe(parts, tasks.support.take(slice(position, position + 1)))
    for part, expected in zip(tensors(parts), tensors(whole), strict=True):
        torch.testing.assert_close(part, expected, rtol=1e-4, atol=1e-5)


def test_what_gradient_steps_changed_is_kept_when_more_examples_come():
    prior, support = build(step_size=0.1).eval(), episode().support
    first, second = support.take(slice(0, 3)), support.take(slice(3, 6))

    def inferred(examples):
        return prior.observe(prior.start(3), examples).weights["code"]

    prior.test_steps = 2
    stepped = prior.observe(prior.start(3), first)
    prior.test_steps = 0
    moved = stepped.weights["code"] - inferred(first)
    assert moved.abs().max() > 0
    torch.testing.assert_close(prior.observe(stepped, second).weights["code"], inferred(support) + moved)


def test_a_conditional_neural_process_adds_to_biases_alone():
    prior = build("cnp")
    assert set(prior.net.weights()) == {"layers.0.bias", "layers.1.bias", "head.bias"}
    assert prior.encoder.attend is None
    assert prior.inner_steps == 0


def test_latent_embedding_optimisation_writes_the_head_and_steps_on_the_code():
    prior = build("leo")
    assert set(prior.net.weights()) == {"head.weight", "head.bias"}
    assert prior.inner_steps == 5
    state = prior.observe(prior.start(3), episode().support)
    assert set(state.weights) == {"code"}


@pytest.fixture(scope="module")
def errors():
    found = {}
    source = Sinusoid(queries=20)
    for name, steps in (("amortised", 400), ("cnp", 400)):
        prior = build(name)
        acquire(prior, source, steps=steps, tasks_per_step=25, validations=0)
        found[name] = evaluate(prior, source, episodes=200).mean
        prior.test_steps, prior.step_size = 10, 0.01
        found[name, "stepped"] = evaluate(prior, source, episodes=200).mean
    return found


@pytest.mark.parametrize("name", ["amortised", "cnp"])
def test_waves_are_inferred_without_a_gradient_step(errors, name):
    # The variance of the waves themselves is about 4.
    assert errors[name] < 1.2


def test_gradient_steps_refine_what_was_inferred(errors):
    assert errors["amortised", "stepped"] < 0.9 * errors["amortised"]


def test_a_class_without_an_output_is_refused():
    prior = Amortised(MLP(4, 3), MLP(4), outputs=3)
    with pytest.raises(ShapeError, match="y: expected class ids below 3, got 5"):
        prior.observe(prior.start(1), Examples(torch.rand(1, 2, 4), torch.tensor([[0, 5]])))


def test_targets_and_tasks_must_fit():
    prior = build()
    with pytest.raises(ShapeError, match="examples: expected T = 1 tasks as in state, got 3"):
        prior.observe(prior.start(1), episode().support)
    with pytest.raises(ShapeError, match="y: expected 1 target features, got 2"):
        prior.observe(prior.start(1), Examples(torch.rand(1, 3, 1), torch.rand(1, 3, 2)))
    classifier = Amortised(MLP(4, 3), MLP(4), outputs=3)
    with pytest.raises(ShapeError, match="y: expected class ids of 0 or more, got -1"):
        classifier.observe(classifier.start(1), Examples(torch.rand(1, 2, 4), torch.tensor([[0, -1]])))


def test_features_must_say_how_wide_they_are():
    with pytest.raises(MetapriorError, match="features: expected a network with an attribute `features`"):
        Amortised(MLP(4, 3), torch.nn.Flatten(), outputs=3)
