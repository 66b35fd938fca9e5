"""What priors that learn from features share: streams in one pass, and logits for classes not seen."""

import pytest
import torch
from torch import nn

from metaprior import Hopfield, Matching, ProtoNet, Ridge
from metaprior.errors import UnknownNameError
from metaprior.metric.features import fill_unseen
from metaprior.nets import MLP, Conv4
from metaprior.prior import Prior
from metaprior.tasks import Examples, Stream, TaskSpec

RANDOM = torch.Generator().manual_seed(0)
X, Y = torch.rand(3, 9, 4, generator=RANDOM), torch.randint(3, (3, 9), generator=RANDOM)
NET = MLP(4, hidden=(8,))


@pytest.mark.parametrize("delay", [1, 3, torch.randint(0, 5, (3, 9), generator=RANDOM)], ids=["1", "3", "random"])
@pytest.mark.parametrize(
    "prior",
    [ProtoNet(NET, 3), ProtoNet(NET, 3, "alike"), Matching(NET, 3, unseen="last"), Hopfield(NET, 3), Ridge(NET, 3)],
    ids=lambda prior: type(prior).__name__,
)
def test_one_pass_over_a_stream_equals_the_loop(prior, delay):
    stream = Stream(Examples(X, Y), delay)
    torch.testing.assert_close(prior.stream(stream), Prior.stream(prior, stream))


def test_padding_of_a_stream_changes_nothing():
    mask = torch.arange(9) < 6
    prior = ProtoNet(NET, 3, "alike")
    whole = prior.stream(Stream(Examples(X, Y, mask.expand(3, 9))))
    torch.testing.assert_close(whole[:, :6], prior.stream(Stream(Examples(X[:, :6], Y[:, :6]))))


def test_batch_norm_never_sees_later_steps():
    prior = ProtoNet(Conv4(1, 16, width=4), 3)
    x = torch.rand(1, 4, 1, 16, 16)
    other = torch.cat([x[:, :2], torch.rand(1, 2, 1, 16, 16)], dim=1)
    streams = [Stream(Examples(images, torch.tensor([[0, 1, 1, 0]]))) for images in (x, other)]
    first, second = (prior.stream(stream)[:, :2] for stream in streams)
    torch.testing.assert_close(first, second)


LOGITS, SEEN = torch.tensor([[[5.0, 9.0, -3.0, 9.0]]]), torch.tensor([[True, False, True, False]])


def test_classes_not_seen_are_as_good_as_impossible():
    filled = fill_unseen(LOGITS, SEEN, "impossible", None)
    assert filled[0, 0, [0, 2]].tolist() == [5, -3]
    assert filled.softmax(-1)[0, 0, [1, 3]].tolist() == [0, 0]
    assert filled.isfinite().all()


def test_classes_not_seen_share_a_logit_or_the_last_stands_for_them():
    novelty = torch.tensor(1.0, requires_grad=True)
    assert fill_unseen(LOGITS, SEEN, "alike", novelty).tolist() == [[[5, 1, -3, 1]]]
    last = fill_unseen(LOGITS, SEEN, "last", novelty)
    assert last[0, 0, [0, 2, 3]].tolist() == [5, -3, 1]
    assert last.softmax(-1)[0, 0, 1] == 0
    last.logsumexp(-1).sum().backward()
    assert novelty.grad > 0


@pytest.mark.parametrize("cls", [ProtoNet, Matching, Hopfield])
def test_open_tasks_have_a_class_for_the_unknown(cls):
    prior = cls.for_tasks(TaskSpec("classification", (4,), 5, unknown=True), NET)
    assert prior.unseen == "last"
    first = prior.stream(Stream(Examples(X, Y), unknown=4))[:, 0].softmax(-1)
    torch.testing.assert_close(first, torch.tensor([0.0, 0, 0, 0, 1]).expand(3, 5), atol=1e-6, rtol=0)


@pytest.mark.parametrize("cls", [ProtoNet, Matching, Hopfield])
def test_what_to_do_with_the_unseen_is_one_of_three(cls):
    with pytest.raises(UnknownNameError, match=r"unseen.*'never'"):
        cls(NET, unseen="never")


def test_no_novelty_is_acquired_where_classes_are_given():
    assert not any("novelty" in name for name, _ in ProtoNet(nn.Flatten()).named_parameters())
