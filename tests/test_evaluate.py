import pytest
import torch
from torch import nn

from metaprior import MAML, ProtoNet, evaluate
from metaprior.errors import MetapriorError
from metaprior.evaluate import Evaluation
from metaprior.nets import MLP, Conv4
from metaprior.tasks import Examples, Sinusoid, TestSet
from metaprior.tasks.episode import Episode
from metaprior.testing import ToyTasks


def scores(*values: float) -> Evaluation:
    return Evaluation(torch.tensor(values), "accuracy", "", False, 0, 0, 0.0)


def test_the_interval_by_hand():
    evaluation = scores(0.5, 1.0, 0.5, 1.0)
    assert evaluation.mean == 0.75
    assert evaluation.interval == pytest.approx(1.96 * (0.25 / 3) ** 0.5 / 2)
    assert str(evaluation) == "75.00 ± 28.29 %"


def test_one_task_has_no_interval():
    assert scores(0.5).interval == float("inf")


def test_scores_are_those_of_the_same_tasks_one_by_one():
    source, prior = ToyTasks(), ProtoNet(MLP(4, hidden=(8,)), ways=3)
    together = evaluate(prior, source, episodes=7)
    tasks = source.test_set(7)
    alone = TestSet(tuple(episode[i : i + 1] for episode in tasks.episodes for i in range(episode.tasks)), tasks.hash)
    assert torch.equal(together.scores, evaluate(prior, alone).scores)
    assert (together.metric, together.hash) == ("accuracy", tasks.hash)


def test_accuracy_by_hand():
    x, y = torch.tensor([[[0.0], [1.0]]]), torch.tensor([[0, 1]])
    query = Examples(torch.tensor([[[0.1], [0.2], [0.9], [0.4]]]), torch.tensor([[0, 0, 1, 1]]))
    tasks = TestSet((Episode(Examples(x, y), query),), "hash")
    evaluation = evaluate(ProtoNet(nn.Flatten()), tasks)
    assert evaluation.scores.tolist() == [0.75]
    assert evaluation.hash == "hash"


def test_error_by_hand():
    class Zero(MAML):
        def predict(self, state, x):
            return torch.zeros(*x.shape[:2], 1)

    source = Sinusoid()
    evaluation = evaluate(Zero(MLP(1, 1, hidden=(2,))), source, episodes=5)
    targets = torch.cat([episode.query.y for episode in source.test_set(5).episodes])
    assert evaluation.metric == "mse"
    assert torch.allclose(evaluation.scores, targets.square().mean((1, 2)))


def test_costs_are_told():
    prior = MAML(MLP(1, 1, hidden=(3,)), step_size=0.01)
    evaluation = evaluate(prior, Sinusoid(), episodes=5)
    assert evaluation.parameters == 3 + 3 + 3 + 1
    assert evaluation.state_bytes == 4 * 10
    assert evaluation.adapt_seconds > 0
    assert not evaluation.transductive
    assert evaluate(MAML(MLP(1, 1), transductive=True), Sinusoid(), episodes=2).transductive
    assert set(evaluation.row()) >= {"mean", "interval_95", "tasks", "test_hash", "transductive", "state_bytes"}


def test_the_same_seed_and_split_are_the_same_tasks():
    prior = ProtoNet(MLP(4, hidden=(8,)), ways=3)
    drawn = [(0, "test"), (0, "test"), (1, "test"), (0, "train")]
    hashes = [evaluate(prior, ToyTasks(), 4, seed, split).hash for seed, split in drawn]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


@pytest.mark.parametrize("training", [True, False])
def test_a_prior_is_left_as_it_was(training):
    prior = ProtoNet(Conv4(1, 16, width=4), ways=2).train(training)
    prior.net.blocks[0].train(not training)
    modes = [module.training for module in prior.modules()]
    before = [value.clone() for value in prior.state_dict().values()]
    evaluate(prior, ToyTasks("classification", (1, 16, 16), outputs=2), episodes=3)
    assert [module.training for module in prior.modules()] == modes
    assert all(torch.equal(a, b) for a, b in zip(before, prior.state_dict().values(), strict=True))


def test_a_prior_is_left_as_it_was_by_a_failure():
    prior = MAML(MLP(1, 2, hidden=(2,))).train()
    with pytest.raises(MetapriorError):
        evaluate(prior, Sinusoid(), episodes=3)
    assert prior.training


def test_a_prior_of_another_kind_is_refused():
    with pytest.raises(MetapriorError, match="ProtoNet is for classification tasks; Sinusoid has regression tasks"):
        evaluate(ProtoNet(nn.Flatten()), Sinusoid())


def test_no_tasks_are_refused():
    with pytest.raises(MetapriorError, match="episodes: expected a positive number, got 0"):
        evaluate(MAML(MLP(1, 1)), Sinusoid(), episodes=0)
