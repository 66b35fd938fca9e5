"""Checks of what a prior believes: shapes, masks, independence, purity, order.

Axis letters: T tasks, N support, Q query, S stream steps, C classes, D target features.
"""

import unittest
from dataclasses import replace

import torch
from torch import Tensor

from metaprior.tasks.episode import Examples
from metaprior.tasks.stream import Stream
from metaprior.testing.case import Case, adapted, check, clones, demand, demand_close
from metaprior.tree import map_tensors, tensors

__all__: list[str] = []


def _garbage(examples: Examples) -> Examples:
    """Two padding examples that would change any belief that took notice of them."""

    def other(leaf: Tensor) -> Tensor:
        return 7 - 5 * leaf.flip(0) if leaf.is_floating_point() else leaf.flip(0, 1)

    some = map_tensors(other, replace(examples, mask=None)).take(slice(0, 2))
    return replace(some, mask=torch.zeros(some.tasks, some.size, dtype=torch.bool))


@check
def check_shapes(case: Case) -> None:
    """Predictions are `(T, Q, C)`, `(T, Q, D)` or `(T, Q, C, H, W)`; tensors of a state have a leading task axis."""
    spec = case.source.spec
    outputs = (spec.outputs, *(spec.x_shape[1:] if spec.kind == "segmentation" else ()))
    for tasks in (3, 1):
        prior, episode = case.prior(), case.episode(tasks)
        start = prior.start(tasks, episode.about)
        for when, state in (("start", start), ("observe", prior.observe(start, episode.support))):
            axes = [tuple(leaf.shape) for leaf in tensors(state)]
            demand(
                all(shape[:1] == (tasks,) for shape in axes),
                f"{when}: every tensor of a state must have a leading axis T = {tasks}, got shapes {axes}",
            )
            for queries in (episode.query.size, 1):
                x = episode.query.take(slice(0, queries)).x
                got = prior.predict(state, x)
                expected = (tasks, queries, *outputs)
                demand(
                    tuple(got.shape) == expected,
                    f"predict: expected (T, Q, outputs) = {expected} after {when}, got {tuple(got.shape)}",
                )
                demand(bool(got.isfinite().all()), f"predict: must be finite after {when}")


@check
def check_dtypes(case: Case) -> None:
    """A prior of float32 or of float64 computes in that type throughout."""
    for dtype in (torch.float32, torch.float64):
        prior, episode = case.prior(dtype), case.episode(dtype=dtype)
        state = adapted(prior, episode)
        kinds = {leaf.dtype for leaf in tensors(state) if leaf.is_floating_point()}
        demand(kinds <= {dtype}, f"observe: a {dtype} prior must give {dtype} states, got {kinds}")
        for when, belief in (("start", prior.start(episode.tasks, episode.about)), ("observe", state)):
            got = prior.predict(belief, episode.query.x).dtype
            demand(got == dtype, f"predict: a {dtype} prior must give {dtype} predictions after {when}, got {got}")


@check
def check_padding(case: Case) -> None:
    """Padding in the support changes nothing, wherever it stands and whatever it holds."""
    prior, episode = case.prior(), case.episode()
    support, padding = episode.support, _garbage(episode.support)
    expected = prior.predict(adapted(prior, episode), episode.query.x)
    for where, padded in (("before", padding.joined(support)), ("after", support.joined(padding))):
        got = prior.predict(adapted(prior, episode, padded), episode.query.x)
        demand_close(got, expected, f"observe: examples whose mask is False, {where} real ones, must change nothing")


@check
def check_uneven_tasks(case: Case) -> None:
    """A task of fewer examples than its neighbours in the batch is treated as it is alone."""
    prior, episode = case.prior(), case.episode()
    sizes = torch.arange(episode.tasks) % 2 + episode.support.size - 1
    mask = (torch.arange(episode.support.size) < sizes[:, None]) & episode.support.real
    got = prior.predict(adapted(prior, episode, replace(episode.support, mask=mask)), episode.query.x)
    for task, size in enumerate(sizes.tolist()):
        alone = episode[task : task + 1]
        expected = prior.predict(adapted(prior, alone, alone.support.take(slice(0, size))), alone.query.x)
        demand_close(
            got[task : task + 1], expected, "observe: a task padded to the size of others must be as it is alone"
        )


@check
def check_task_independence(case: Case) -> None:
    """The belief about a task does not depend on the other tasks of the batch."""
    prior, episode = case.prior(), case.episode()
    together = prior.predict(adapted(prior, episode), episode.query.x)
    for task in range(episode.tasks):
        alone = episode[task : task + 1]
        got = prior.predict(adapted(prior, alone), alone.query.x)
        demand_close(
            together[task : task + 1], got, "predict: a task must be predicted in a batch of tasks as it is alone"
        )


@check
def check_permutation(case: Case) -> None:
    """The order of the support does not matter where `order_free` says so."""
    prior, episode = case.prior(), case.episode()
    if not prior.order_free:
        raise unittest.SkipTest("order_free is False")
    order = torch.randperm(episode.support.size, generator=torch.Generator().manual_seed(1))
    shuffled = map_tensors(lambda leaf: leaf[:, order], episode.support)
    expected = prior.predict(adapted(prior, episode), episode.query.x)
    got = prior.predict(adapted(prior, episode, shuffled), episode.query.x)
    demand_close(got, expected, "observe: order_free promises that the order of the support does not matter")


@check
def check_purity(case: Case) -> None:
    """`observe` and `predict` change neither their arguments nor the prior, and have no hidden memory."""
    prior, episode = case.prior(), case.episode()
    other, start = case.episode(seed=1), prior.start(episode.tasks, episode.about)
    modes = [(module, module.training) for module in prior.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in prior.parameters()]
    watched = [
        ("the state", start),
        ("the examples", (episode, other)),
        ("the parameters or buffers", prior.state_dict()),
    ]
    before = [clones(tree) for _, tree in watched]
    state = prior.observe(start, episode.support)
    watched.append(("the state", state))
    before.append(clones(state))
    first = prior.predict(state, episode.query.x)
    prior.predict(prior.observe(state, other.support), other.query.x)
    prior.predict(prior.observe(start, other.support), other.query.x)
    prior.predict(start, other.query.x)

    for (name, tree), were in zip(watched, before, strict=True):
        same = all(torch.equal(was, now) for was, now in zip(were, tensors(tree), strict=True))
        demand(same, f"observe, predict: must not change {name} in place")
    demand(all(module.training == mode for module, mode in modes), "observe, predict: must not change the mode")
    demand(all(p.requires_grad == flag for p, flag in flags), "observe, predict: must not change requires_grad")
    demand(
        all(parameter.grad is None for parameter in prior.parameters()),
        "observe, predict: must not leave gradients in the parameters",
    )
    again = prior.predict(prior.observe(start, episode.support), episode.query.x)
    sentence = "observe, predict: the same arguments must give the same prediction; what came between must not matter"
    demand_close(again, first, sentence)
    demand_close(prior.predict(state, episode.query.x), first, sentence)


@check
def check_incremental(case: Case) -> None:
    """Observing in two parts equals observing at once where `incremental` says so."""
    prior, episode = case.prior(), case.episode()
    if not prior.incremental:
        raise unittest.SkipTest("incremental is False")
    half = episode.support.size // 2
    parts = episode.support.take(slice(0, half)), episode.support.take(slice(half, None))
    state = adapted(prior, episode, parts[0])
    got = prior.predict(prior.observe(state, parts[1]), episode.query.x)
    expected = prior.predict(adapted(prior, episode), episode.query.x)
    demand_close(got, expected, "observe: incremental promises that two parts equal the whole")


@check
def check_inductive(case: Case) -> None:
    """After some examples, a prediction does not depend on the other queries unless the prior is `transductive`."""
    prior, episode = case.prior(), case.episode()
    if prior.transductive:
        raise unittest.SkipTest("transductive is True")
    state = adapted(prior, episode)
    together = prior.predict(state, episode.query.x)
    for position in range(episode.query.size):
        alone = prior.predict(state, episode.query.take(slice(position, position + 1)).x)
        demand_close(
            alone,
            together[:, position : position + 1],
            "predict: a query must be predicted as it is alone, unless transductive is True",
        )


@check
def check_determinism(case: Case) -> None:
    """Two builds agree to the bit, and the global random state is neither read nor changed."""
    results, before = [], torch.get_rng_state()
    try:
        for seed in (1, 2):
            torch.manual_seed(seed)
            fresh = torch.get_rng_state()
            prior, episode = case.prior(), case.episode()
            prediction = prior.predict(adapted(prior, episode), episode.query.x)
            loss = prior.loss(episode) if prior.learns else prediction.new_zeros(())
            results.append(clones([prediction, loss, *prior.state_dict().values()]))
            demand(
                torch.equal(fresh, torch.get_rng_state()),
                "building, observe, predict, loss: must not draw from the global random state; "
                "take a seed or a torch.Generator",
            )
    finally:
        torch.set_rng_state(before)
    same = all(torch.equal(left, right) for left, right in zip(*results, strict=True))
    demand(same, "building, observe, predict, loss: must be the same, to the bit, whatever the global random state")


@check
def check_stream(case: Case) -> None:
    """`stream` predicts every step before its label arrives, as a loop over `predict` and `observe` does.

    A prior that is `early` need not do so where labels are late.
    """
    prior, episode = case.prior(), case.episode(tasks=2)
    examples = episode.support.take(slice(0, 5))
    for delay in (1,) if prior.early else (1, 2):
        stream = Stream(examples, delay)
        with torch.no_grad():
            got = prior.stream(stream)
            state, expected = prior.start(stream.tasks), []
            for step in range(stream.steps):
                expected.append(prior.predict(state, examples.take(slice(step, step + 1)).x))
                if step + 1 >= delay:
                    arrived = step + 1 - delay
                    state = prior.observe(state, examples.take(slice(arrived, arrived + 1)))
        # What is predicted for padding does not matter.
        looped = torch.cat(expected, dim=1)[examples.real]
        demand_close(got[examples.real], looped, f"stream: must equal a loop over predict and observe; delay {delay}")


@check
def check_paused_stream(case: Case) -> None:
    """`follow` in two parts predicts what it does in one, wherever labels are on their way between the two."""
    prior, episode = case.prior(), case.episode(tasks=2)
    examples = episode.support.take(slice(0, 5))
    steps = examples.size
    drawn = torch.randint(0, 4, (2, steps), generator=torch.Generator().manual_seed(0)).clamp(max=steps)
    for delay in (1, min(3, steps), drawn):
        stream = Stream(examples, delay)
        with torch.no_grad():
            whole, end = prior.follow(stream)
            demand(torch.equal(whole, prior.stream(stream)), f"follow: must predict what stream does; delay {delay}")
            first, between = prior.follow(stream, steps=slice(0, 2))
            second, after = prior.follow(stream, between, slice(2, None))
            for part, expected in ((first, whole[:, :2]), (second, whole[:, 2:])):
                # A class that arrives later has no probability before, and need not be in a part.
                shown = (part, expected) if part.ndim != 3 else (part, expected[..., : part.shape[2]])
                real = examples.real[:, :2] if part is first else examples.real[:, 2:]
                demand_close(shown[0][real], shown[1][real], f"follow: two parts must predict as one; delay {delay}")
            asked = episode.query.x
            demand_close(prior.predict(after, asked), prior.predict(end, asked), "follow: two parts must end as one")
