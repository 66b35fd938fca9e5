import pytest
import torch
from torch import Tensor, nn

from metaprior import MAML, Scratch, acquire, evaluate
from metaprior.errors import MetapriorError, ShapeError
from metaprior.nets import MLP, Conv4, replace_builtin_norms
from metaprior.tasks import Episode, Examples, Sinusoid
from metaprior.testing import ToyTasks, conformance_checks

STEP = 0.05


def linear(inputs: int = 3, **arguments) -> MAML:
    net = nn.Linear(inputs, 1, bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.linspace(-1, 1, inputs))
    return MAML(net, step_size=STEP, **arguments).double()


def episode(tasks: int = 2, inputs: int = 3, size: int = 5) -> Episode:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return Episode(
        Examples(draw(tasks, size, inputs), draw(tasks, size, 1)), Examples(draw(tasks, 7, inputs), draw(tasks, 7, 1))
    )


def moments(examples: Examples) -> tuple[Tensor, Tensor]:
    """Hessian H and H w* of the quadratic that a linear model's mean squared error is: its gradient is H w - H w*."""
    across = examples.x.transpose(1, 2)
    return 2 * across @ examples.x / examples.size, (2 * across @ examples.y / examples.size)[..., 0]


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_adapted_weights_of_a_quadratic(steps):
    prior, tasks = linear(inner_steps=steps), episode()
    hessian, target = moments(tasks.support)
    expected = prior.net.weight.expand(2, 3)
    for _ in range(steps):
        expected = expected - STEP * ((hessian @ expected[..., None])[..., 0] - target)
    got = prior.observe(prior.start(2), tasks.support).weights["weight"][:, 0]
    assert torch.allclose(got, expected, rtol=1e-12, atol=1e-12)
    optimum = torch.linalg.solve(hessian, target)
    contraction = torch.linalg.matrix_power(torch.eye(3) - STEP * hessian, steps)
    closed = optimum + (contraction @ (prior.net.weight[0] - optimum)[..., None])[..., 0]
    assert torch.allclose(got, closed, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("chunk", [1, 2, 3])
@pytest.mark.parametrize("save_memory", [False, True])
@pytest.mark.parametrize("steps", [1, 3])
def test_the_meta_gradient_of_a_quadratic(steps, save_memory, chunk):
    tasks = episode(tasks=3)
    hessian, _ = moments(tasks.support)
    prior = linear(inner_steps=steps, save_memory=save_memory, chunk=chunk)
    first = linear(inner_steps=steps, first_order=True, chunk=chunk)
    adapted = prior.observe(prior.start(3), tasks.support).weights["weight"].detach()[:, 0]
    query_hessian, query_target = moments(tasks.query)
    at_adapted = (query_hessian @ adapted[..., None])[..., 0] - query_target
    # Second order: the chain rule through every step, each a multiplication by I - step * H. First order: without it.
    through = torch.linalg.matrix_power(torch.eye(3) - STEP * hessian, steps)
    (got,) = torch.autograd.grad(prior.loss(tasks), prior.net.weight)
    assert torch.allclose(got[0], (through @ at_adapted[..., None])[..., 0].mean(0), rtol=1e-10)
    (got,) = torch.autograd.grad(first.loss(tasks), first.net.weight)
    assert torch.allclose(got[0], at_adapted.mean(0), rtol=1e-10)


def test_without_inner_steps_orders_agree():
    tasks = episode()
    gradients = []
    for first_order in (False, True):
        prior = linear(inner_steps=0, first_order=first_order)
        gradients += torch.autograd.grad(prior.loss(tasks), prior.net.weight)
    assert torch.equal(*gradients)


IMAGES = ToyTasks("classification", (1, 16, 16), outputs=2, pool=4)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"transductive": True},
        {"save_memory": True},
        {"adapted": r"head|blocks\.3"},
        {"chunk": 3},
        {"inner_steps": 0},
    ],
    ids=str,
)
def test_meta_gradients_through_batch_norm_by_finite_differences(arguments):
    check = dict(conformance_checks())["gradient"]
    check(lambda spec: MAML(Conv4(1, 16, 2, width=2), **({"inner_steps": 2} | arguments)), IMAGES)


def gradients(prior: MAML, tasks: Episode) -> list[Tensor]:
    return list(torch.autograd.grad(prior.loss(tasks), list(prior.parameters())))


@pytest.mark.parametrize("chunk", [1, 4])
def test_saving_memory_changes_no_gradient(chunk):
    tasks = IMAGES.sample(4, torch.Generator().manual_seed(0)).to(torch.float64)
    settings = {"inner_steps": 3, "chunk": chunk}
    kept, saved = (MAML(Conv4(1, 16, 2, width=2), save_memory=save, **settings).double() for save in (False, True))
    for left, right in zip(gradients(kept, tasks), gradients(saved, tasks), strict=True):
        assert torch.allclose(left, right, rtol=1e-10, atol=1e-12)


def test_saving_memory_saves_memory():
    tasks = IMAGES.sample(2, torch.Generator().manual_seed(0))

    def stored(steps: int, save: bool) -> int:
        seen: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            seen[storage.data_ptr()] = storage.nbytes()
            return tensor

        prior = MAML(Conv4(1, 16, 2, width=2), inner_steps=steps, save_memory=save)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            prior.loss(tasks)
        return sum(seen.values())

    growth = [stored(6, save) - stored(2, save) for save in (False, True)]
    assert growth[1] < 0.2 * growth[0]


def test_only_what_is_adapted_changes_but_all_is_acquired():
    prior, tasks = MAML(MLP(3, 1, hidden=(4,)), step_size=0.1, adapted="^head").double(), episode()
    start = prior.start(2)
    state = prior.observe(start, tasks.support)
    changed = {name for name in start.weights if not torch.equal(start.weights[name], state.weights[name])}
    assert changed == {"head.weight", "head.bias"}
    assert all(gradient.any() for gradient in gradients(prior, tasks))


def test_evaluation_may_take_other_steps():
    prior, tasks = linear(inner_steps=1, test_steps=4), episode()
    for mode, steps in ((True, 1), (False, 4)):
        prior.train(mode)
        got = prior.observe(prior.start(2), tasks.support).weights["weight"]
        same = linear(inner_steps=steps)
        assert torch.equal(got, same.observe(same.start(2), tasks.support).weights["weight"])
    assert linear(inner_steps=3).eval().steps == 3


def test_observing_again_goes_on_from_the_state():
    prior, tasks = linear(inner_steps=2), episode()
    twice = prior.observe(prior.observe(prior.start(2), tasks.support), tasks.support)
    longer = linear(inner_steps=4)
    assert torch.allclose(twice.weights["weight"], longer.observe(longer.start(2), tasks.support).weights["weight"])


def test_adapting_without_gradients_leaves_no_graph():
    prior, tasks = linear(inner_steps=2), episode()
    with torch.no_grad():
        state = prior.observe(prior.start(2), tasks.support)
    assert not state.weights["weight"].requires_grad
    assert torch.equal(state.weights["weight"], prior.observe(prior.start(2), tasks.support).weights["weight"])


def test_frozen_parameters_are_adapted_but_not_acquired():
    prior, tasks = MAML(MLP(3, 1, hidden=(4,)), step_size=0.1, inner_steps=2).double(), episode()
    whole = dict(zip([name for name, _ in prior.named_parameters()], gradients(prior, tasks), strict=True))
    prior.net.head.weight.requires_grad_(False)
    (got,) = torch.autograd.grad(prior.loss(tasks), prior.net.layers[0].weight)
    assert prior.observe(prior.start(2), tasks.support).weights["head.weight"].std(0).any()
    assert torch.allclose(got, whole["net.layers.0.weight"], rtol=1e-10)


def test_queries_are_normalised_by_the_support():
    tasks = IMAGES.sample(2, torch.Generator().manual_seed(0)).to(torch.float64)
    inductive, transductive = (MAML(Conv4(1, 16, 2, width=2), transductive=t).double() for t in (False, True))
    states = [prior.observe(prior.start(2), tasks.support) for prior in (inductive, transductive)]
    assert len(states[0].statistics) == 4
    assert states[1].statistics == ()
    # Where the queries are the support, its statistics are theirs.
    told = [p.predict(s, tasks.support.x) for p, s in zip((inductive, transductive), states, strict=True)]
    assert torch.allclose(*told)
    told = [p.predict(s, tasks.query.x) for p, s in zip((inductive, transductive), states, strict=True)]
    assert not torch.allclose(*told)


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(4), nn.InstanceNorm1d(4)])
def test_norms_with_wrong_second_derivatives_are_refused(norm):
    with pytest.raises(MetapriorError, match=r"net: '1' is one of torch's own .*replace_builtin_norms"):
        MAML(nn.Sequential(nn.Linear(3, 4), norm, nn.Linear(4, 1)))


def test_replaced_norms_are_accepted():
    net = replace_builtin_norms(nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3)))
    check = dict(conformance_checks())["gradient"]
    check(MAML(net, inner_steps=2), ToyTasks())


def test_a_pattern_that_matches_nothing_is_refused():
    with pytest.raises(MetapriorError, match="adapted: expected a pattern that matches a parameter of weight"):
        linear(adapted="head")


def test_what_disagrees_is_named():
    prior = MAML(MLP(3, 2, hidden=(4,)))
    with pytest.raises(ShapeError, match="examples: expected T = 3 tasks as in state, got 2"):
        prior.observe(prior.start(3), Examples(torch.zeros(2, 1, 3), torch.zeros(2, 1, dtype=torch.long)))
    with pytest.raises(ShapeError, match="y: expected class ids from 0 to 1, got 2"):
        prior.observe(prior.start(1), Examples(torch.zeros(1, 1, 3), torch.tensor([[2]])))


def test_unlabelled_examples_are_refused():
    prior = linear()
    with pytest.raises(ShapeError, match="expected labelled examples"):
        prior.observe(prior.start(1), Examples(torch.zeros(1, 1, 3, dtype=torch.float64)))


def test_a_prior_for_sinusoids_beats_its_network_unadapted_and_from_scratch():
    """Finn et al. 2017, figure 2, in small: ten points, five gradient steps, ten in the test."""
    source = Sinusoid(shots=10, queries=20)
    prior = MAML(MLP(1, 1, seed=1), step_size=0.01, inner_steps=5, test_steps=10)
    acquire(prior, source, steps=1000, learning_rate=3e-3, validations=0)
    adapted = evaluate(prior, source, episodes=200)
    prior.test_steps = 0
    unadapted = evaluate(prior, source, episodes=200)
    scratch = evaluate(Scratch(MLP(1, 1, seed=1), steps=100), source, episodes=200)
    assert adapted.hash == unadapted.hash == scratch.hash
    # Measured: 0.52, 3.05 and 2.47.
    assert adapted.mean < 0.4 * min(unadapted.mean, scratch.mean)
