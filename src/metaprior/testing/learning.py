"""Checks of what `acquire` relies on: the loss, its gradient, chunks, memory."""

import copy
import gc
import unittest

import torch
from torch import Tensor

from metaprior.acquire import acquire
from metaprior.evaluate import evaluate
from metaprior.prior import Prior
from metaprior.tasks.episode import Episode
from metaprior.testing.beliefs import _garbage
from metaprior.testing.case import Case, adapted, check, clones, demand, demand_close

__all__: list[str] = []


def _learner(case: Case) -> Prior:
    prior = case.prior()
    if not prior.learns:
        raise unittest.SkipTest("learns is False")
    return prior


def _trained(prior: Prior) -> list[Tensor]:
    return [parameter for parameter in prior.parameters() if parameter.requires_grad]


def _gradients(prior: Prior, episode: Episode) -> list[Tensor]:
    found = torch.autograd.grad(prior.loss(episode), _trained(prior), allow_unused=True, materialize_grads=True)
    return list(found)


@check
def check_loss(case: Case) -> None:
    """The loss is one finite number whose gradient reaches the parameters."""
    prior = _learner(case).train()
    demand(bool(_trained(prior)), "parameters: a prior that learns must have some that require gradients")
    loss = prior.loss(case.episode())
    demand(loss.shape == (), f"loss: expected one number, a mean over tasks, got shape {tuple(loss.shape)}")
    demand(bool(loss.isfinite()), f"loss: must be finite, got {loss.item()}")
    demand(loss.requires_grad, "loss: must be differentiable, got one without a gradient")
    gradients = _gradients(prior, case.episode())
    demand(all(bool(g.isfinite().all()) for g in gradients), "loss: its gradient must be finite")
    demand(any(bool(g.any()) for g in gradients), "loss: its gradient must reach a parameter; all of it is zero")


@check
def check_loss_is_mean(case: Case) -> None:
    """The loss of some tasks is the mean of their losses, so that devices and chunks can share the tasks of a step."""
    prior, episode = _learner(case), case.episode()
    parts = torch.stack([prior.loss(episode[task : task + 1]) for task in range(episode.tasks)])
    demand_close(prior.loss(episode), parts.mean(), "loss: must be the mean over tasks of the loss of each alone")


@check
def check_loss_padding(case: Case) -> None:
    """Padding in the queries has no part in the loss."""
    prior, episode = _learner(case), case.episode()
    if prior.transductive:
        raise unittest.SkipTest("transductive is True: a prediction may depend on every query, and is told no mask")
    query = episode.query.joined(_garbage(episode.query))
    padded = Episode(episode.support, query, episode.ways, episode.labels, episode.about)
    demand_close(prior.loss(padded), prior.loss(episode), "loss: queries whose mask is False must change nothing")


@check
def check_training_padding(case: Case) -> None:
    """In training mode too, padding changes neither the loss nor what the prior keeps of a batch."""
    episode, kept = case.episode(), []
    if _learner(case).surrogate or case.prior().transductive:
        raise unittest.SkipTest("surrogate or transductive: the loss may be of another objective, or see all queries")
    support, query = (part.joined(_garbage(part)) for part in (episode.support, episode.query))
    for tasks in (episode, Episode(support, query, episode.ways, episode.labels, episode.about)):
        prior = _learner(case).train()
        kept.append(clones([prior.loss(tasks), *prior.buffers()]))
    demand_close(kept[1], kept[0], "loss: in training mode, examples whose mask is False must change nothing")


@check
def check_gradient(case: Case) -> None:
    """In training mode, the gradient of the loss is its derivative, by finite differences in float64."""
    prior, episode = _learner(case).train(), case.episode()
    if getattr(prior, "surrogate", False):
        raise unittest.SkipTest("surrogate is True: the gradient of the loss is not meant to be its derivative")
    if getattr(prior, "first_order", False):
        raise unittest.SkipTest("first_order is True: the gradient is not meant to be the derivative of the loss")
    generator = torch.Generator().manual_seed(0)
    parameters = _trained(prior)
    with torch.no_grad():
        # Initial weights are special: biases of zero put rectifiers right at their kinks.
        for parameter in parameters:
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    gradients = _gradients(prior, episode)
    compared = 0
    for _ in range(20):
        direction = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
        wide, narrow = (_slope(prior, episode, parameters, direction, width) for width in (1e-6, 1e-7))
        scale = max(abs(wide), 1e-2)
        if abs(wide - narrow) > 1e-5 * scale:
            continue  # a rectifier or a maximum changes sides within the difference, which then tells nothing
        expected = sum(float((g * d).sum()) for g, d in zip(gradients, direction, strict=True))
        demand(
            abs(wide - expected) <= 1e-4 * scale,
            f"loss: its gradient must be its derivative; along a random direction backward says {expected:.6g}, "
            f"finite differences {wide:.6g} (a class that means this says surrogate = True)",
        )
        compared += 1
        if compared == 3:
            return
    demand(compared > 0, "loss: no direction was smooth enough for finite differences; is it continuous?")


def _slope(prior: Prior, episode: Episode, parameters: list[Tensor], direction: list[Tensor], width: float) -> float:
    values = []
    with torch.no_grad():
        kept = [parameter.clone() for parameter in parameters]
        for sign in (1, -1):
            for parameter, value, step in zip(parameters, kept, direction, strict=True):
                parameter.copy_(value + sign * width * step)
            values.append(float(prior.loss(episode)))
        for parameter, value in zip(parameters, kept, strict=True):
            parameter.copy_(value)
    return (values[0] - values[1]) / (2 * width)


@check
def check_chunks(case: Case) -> None:
    """Tasks looped over, in chunks, and all at once give the same predictions, loss and gradient."""
    first = case.prior()
    if not hasattr(first, "chunk"):
        raise unittest.SkipTest("has no chunk argument")
    episode, results = case.episode(), {}
    for chunk in (1, 2, episode.tasks, "auto"):
        prior = copy.deepcopy(first)
        prior.chunk = chunk  # type: ignore[assignment]
        prediction = prior.predict(adapted(prior, episode), episode.query.x)
        outer = [prior.loss(episode), *_gradients(prior, episode)] if prior.learns else []
        results[chunk] = clones([prediction, *outer])
        demand_close(results[chunk], results[1], f"chunk: {chunk} must give what 1 gives, a loop over tasks")


@check
def check_memory(case: Case) -> None:
    """Nothing is kept from one episode to the next, over 200 of them, half to learn from and half to predict."""
    prior, episode = case.prior(torch.float32), case.episode(tasks=1, dtype=torch.float32)

    def work(times: int) -> tuple[int, int]:
        for turn in range(times):
            if prior.learns and turn % 2:
                prior.zero_grad()
                prior.loss(episode).backward()
            else:
                with torch.no_grad():
                    prior.predict(adapted(prior, episode), episode.query.x)
        return _live()

    tensors, size = work(4)
    more_tensors, more_size = work(200)
    # Other code in the process may come to hold a few tensors; a leak holds at least 100.
    grown = f"{more_tensors - tensors} more tensors and {more_size - size} more bytes are alive after 200 more episodes"
    demand(more_tensors - tensors < 50, f"loss, observe, predict: must keep nothing of an episode; {grown}")
    demand(more_size - size < 100_000, f"loss, observe, predict: must keep nothing of an episode; {grown}")


def _live() -> tuple[int, int]:
    """Return how many tensors are alive, and the bytes behind them."""
    gc.collect()
    # type() rather than isinstance(): asking a lazy object for its class may import or warn.
    alive = [thing for thing in gc.get_objects() if issubclass(type(thing), Tensor)]
    storages = {}
    for tensor in alive:
        if tensor.layout == torch.strided and tensor.device.type != "meta":
            storage = tensor.untyped_storage()
            storages[storage._cdata] = storage.nbytes()
    return len(alive), sum(storages.values())


@check
def check_acquire(case: Case) -> None:
    """`acquire` runs, changes the parameters of a prior that learns, and `evaluate` leaves it as it was."""
    prior = case.prior(torch.float32)
    before = clones(prior.state_dict())
    acquire(prior, case.source, steps=2, tasks_per_step=2, validations=1, validation_tasks=2)
    demand(not prior.training, "acquire: must return the prior in evaluation mode")
    after = clones(prior.state_dict())
    changed = any(not torch.equal(left, right) for left, right in zip(before, after, strict=True))
    demand(changed or not prior.learns, "acquire: a prior that learns must have changed after two steps")
    scores = evaluate(prior, case.source, episodes=2).scores
    demand(bool(scores.isfinite().all()), f"evaluate: scores must be finite, got {scores.tolist()}")
    same = all(torch.equal(left, right) for left, right in zip(after, clones(prior.state_dict()), strict=True))
    demand(same, "evaluate: must leave the parameters and buffers of the prior as they were")
