import json
import pickle
import resource
from contextlib import contextmanager
from typing import NamedTuple

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from metaprior import MAML, DistributedMemory, ProtoNet, load, load_state, read_card, save, save_state
from metaprior.checkpoint import FORMAT, versions, zoo
from metaprior.errors import CheckpointError, DataError, MetapriorError, ShapeError, UnknownNameError
from metaprior.nets import MLP, Conv4
from metaprior.tasks import Examples
from metaprior.tree import tensors


def prior(**arguments) -> MAML:
    return MAML(MLP(2, 3, hidden=(4,), seed=1), inner_steps=2, step_size=0.3, **arguments)


def examples(tasks: int = 2) -> Examples:
    x = torch.randn(tasks, 6, 2, generator=torch.Generator().manual_seed(0))
    return Examples(x, torch.arange(6).expand(tasks, 6) % 3)


@pytest.fixture
def file(tmp_path):
    return save(prior(), tmp_path / "prior.safetensors")


def rewrite(file, change):
    """Store the same tensors under another header."""
    with safe_open(file, framework="pt") as opened:
        named = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        header = dict(opened.metadata() or {})
    save_file(named, file, change(header))
    return file


def recard(file, change):
    def on_card(header):
        card = json.loads(header["metaprior"])
        change(card)
        return {"metaprior": json.dumps(card)}

    return rewrite(file, on_card)


def test_what_is_saved_is_loaded(tmp_path):
    before = prior(adapted="head", save_memory=True).train()
    assert save(before, tmp_path / "run") == tmp_path / "run" / "prior.safetensors"
    for path in (tmp_path / "run", str(tmp_path / "run" / "prior.safetensors")):
        after = load(path)
        assert not after.training
        assert (after.inner_steps, after.step_size, after.adapted, after.save_memory) == (2, 0.3, "head", True)
        assert all(torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))


def test_weights_of_double_precision_stay_so(tmp_path):
    before = ProtoNet(MLP(2, hidden=(4,)), ways=3).double()
    with torch.no_grad():
        before.net.layers[0].weight.mul_(1 / 3)
    after = load(save(before, tmp_path))
    support = examples().to(torch.float64)
    told = [p.predict(p.observe(p.start(2), support), support.x) for p in (before, after)]
    assert torch.equal(*told)


def test_half_precision_takes_half_the_space(tmp_path):
    prior = ProtoNet(MLP(64, hidden=(256,)))
    whole, half = save(prior, tmp_path / "whole"), save(prior, tmp_path / "half", half=True)
    assert half.stat().st_size < 0.52 * whole.stat().st_size
    x = torch.randn(1, 6, 64, generator=torch.Generator().manual_seed(0))
    logits = []
    for file in (whole, half):
        loaded = load(file)
        assert next(loaded.parameters()).dtype == torch.float32
        logits.append(loaded.predict(loaded.observe(loaded.start(1), Examples(x, torch.tensor([[0, 1] * 3]))), x))
    assert not torch.equal(*logits)
    torch.testing.assert_close(*logits, rtol=1e-2, atol=1e-2)
    with torch.no_grad():
        next(prior.parameters()).fill_(1e6)
    with pytest.raises(CheckpointError, match="has values beyond half precision; expected half=False"):
        save(prior, tmp_path / "large", half=True)


def test_tied_weights_are_stored(tmp_path):
    net = MLP(4, 4, hidden=(4,))
    net.head.weight = net.layers[0].weight
    after = load(save(MAML(net), tmp_path))
    assert torch.equal(after.net.head.weight, net.head.weight)


def test_the_card_tells_what_it_was_told(tmp_path):
    card = read_card(save(prior(), tmp_path, score=0.5, tasks={"source": "omniglot"}))
    assert card["format"] == FORMAT
    assert card["prior"] == "maml"
    assert card["arguments"]["net"] == {
        "net": "mlp",
        "arguments": {"inputs": 2, "outputs": 3, "hidden": [4], "norm": "none", "seed": 1, "dropout": 0.0},
    }
    assert card["versions"] == versions()
    assert (card["score"], card["tasks"]) == (0.5, {"source": "omniglot"})


def test_a_foreign_network_is_given_again(tmp_path):
    net = nn.Sequential(nn.Linear(2, 3))
    path = save(MAML(net, step_size=0.2), tmp_path)
    with pytest.raises(CheckpointError, match=r"wraps a torch\.nn\.modules\.container\.Sequential.*load\(path, net="):
        load(path)
    after = load(path, net=nn.Sequential(nn.Linear(2, 3)))
    assert after.step_size == 0.2
    assert torch.equal(after.net[0].weight, net[0].weight)
    with pytest.raises(CheckpointError, match="does not fit"):
        load(path, net=nn.Sequential(nn.Linear(2, 4)))


@pytest.mark.parametrize("left", [0, 1, 2, 7, 8, 9, 100, -1000, -100, -1])
def test_a_truncated_file_is_refused(file, left):
    content = file.read_bytes()
    file.write_bytes(content[:left])
    for read in (load, read_card):
        with pytest.raises(CheckpointError, match="is damaged or no checkpoint"):
            read(file)


@pytest.mark.parametrize("size", range(0, 256, 8))
def test_no_length_of_the_card_makes_a_checkpoint_look_like_a_pickle(file, size):
    save(prior(), file, padding="x" * size)
    assert load(file).inner_steps == 2


def test_noise_is_refused(file):
    file.write_bytes(bytes(range(256)) * 10)
    with pytest.raises(CheckpointError, match="is damaged or no checkpoint"):
        load(file)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_refused(file, protocol):
    file.write_bytes(pickle.dumps(Bomb(), protocol))
    with pytest.raises(CheckpointError, match="is a pickle, which could run any code"):
        load(file)


def test_an_old_pickle_is_refused(file):
    file.write_bytes(pickle.dumps(Bomb(), 0))
    with pytest.raises(CheckpointError, match="damaged or no checkpoint"):
        load(file)


@pytest.mark.parametrize("zipped", [True, False])
def test_what_torch_saves_is_refused(file, zipped):
    torch.save({"weights": torch.zeros(3)}, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match="is a pickle"):
        load(file)


def test_foreign_safetensors_are_refused(file):
    rewrite(file, lambda header: None)
    with pytest.raises(CheckpointError, match="is safetensors, but not a checkpoint of metaprior"):
        load(file)
    rewrite(file, lambda header: {"format": "pt"})
    with pytest.raises(CheckpointError, match="is safetensors, but not a checkpoint of metaprior"):
        load(file)


@pytest.mark.parametrize("card", ["", "{", "[]", "null", "{}", '{"format": "1"}', '{"format": true}', '{"format": 0}'])
def test_a_damaged_card_is_refused(file, card):
    rewrite(file, lambda header: {"metaprior": card})
    for read in (load, read_card):
        with pytest.raises(CheckpointError, match="damaged"):
            read(file)


def test_a_newer_format_is_refused_with_the_way_out(file):
    recard(file, lambda card: card.update(format=FORMAT + 1))
    with pytest.raises(CheckpointError, match=r"has format 2, from a newer version .* pip install --upgrade metaprior"):
        load(file)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda card: card.update(prior="mmal"), "unknown prior 'mmal': did you mean 'maml'"),
        (lambda card: card["arguments"]["net"].update(net="mpl"), "unknown net 'mpl': did you mean 'mlp'"),
        (lambda card: card["arguments"].update(speed=3), "does not fit this version of the library"),
        (lambda card: card["arguments"]["net"]["arguments"].update(inputs=3), "does not fit this version"),
        (lambda card: card["arguments"].update(adapted="nothing"), "does not fit .* expected a pattern that matches"),
        (lambda card: card["arguments"].update(net=5), "does not fit"),
        (lambda card: card.update(arguments=5), "damaged"),
        (lambda card: card.update(prior=["maml"]), "damaged"),
        (lambda card: card.pop("arguments"), "expected a prior, found a checkpoint of"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(file, change, sentence):
    recard(file, change)
    with pytest.raises(CheckpointError, match=sentence):
        load(file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"nothing/prior\.safetensors: no such checkpoint"):
        load(tmp_path / "nothing")


def test_an_unknown_prior_of_the_zoo_is_named():
    with pytest.raises(UnknownNameError, match="unknown prior of the zoo 'no-such'"):
        load("zoo:no-such")
    assert all(card["format"] <= FORMAT for card in zoo().values())


def test_what_is_not_registered_is_not_saved(tmp_path):
    class Mine(MAML):
        pass

    with pytest.raises(MetapriorError, match="Mine is not registered"):
        save(Mine(MLP(1, 1)), tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


@contextmanager
def full_disk():
    """No file may grow beyond a few bytes, as on a full disk; the error differs in its number alone.

    A test must leave it before it ends: what pytest itself writes may go to a file too.
    """
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_keeps_the_old_checkpoint(file):
    before = file.read_bytes()
    other = prior(adapted="head")
    with full_disk(), pytest.raises(OSError, match=r"prior\.safetensors"):
        save(other, file)
    assert file.read_bytes() == before
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("tasks", [1, 3])
@pytest.mark.parametrize("make", [prior, lambda: MAML(Conv4(1, 16, 3, width=4)), lambda: ProtoNet(nn.Flatten(), 3)])
def test_a_state_comes_back(tmp_path, make, tasks):
    made = make().eval()
    x = torch.randn(tasks, 6, 1, 16, 16) if any(p.ndim == 4 for p in made.parameters()) else examples(tasks).x
    state = made.observe(made.start(tasks), Examples(x, examples(tasks).y))
    save_state(made, state, tmp_path / "state.safetensors")
    again = load_state(made, tmp_path / "state.safetensors")
    assert type(again) is type(state)
    assert all(torch.equal(a, b) for a, b in zip(tensors(again), tensors(state), strict=True))
    assert torch.equal(made.predict(again, x), made.predict(state, x))


class Twice(NamedTuple):
    left: Tensor
    right: Tensor


def test_a_tensor_may_stand_twice_in_a_state(tmp_path):
    zero = torch.zeros(2, 3)

    class Memory(nn.Module):
        def start(self, tasks, about=None):
            return Twice(zero, zero)

        def check_state(self, state):
            assert len(state) == 2

    save_state(Memory(), Twice(zero, zero), tmp_path / "state")
    again = load_state(Memory(), tmp_path / "state")
    assert torch.equal(again.left, again.right)
    shared = torch.arange(6.0)
    save_state(Memory(), Twice(shared[:4], shared[2:]), tmp_path / "state")
    assert load_state(Memory(), tmp_path / "state").right.tolist() == [2, 3, 4, 5]


def test_a_state_is_not_a_prior_and_a_prior_no_state(tmp_path, file):
    save_state(prior(), prior().start(2), tmp_path / "state.safetensors")
    with pytest.raises(CheckpointError, match="expected a prior, found"):
        load(tmp_path / "state.safetensors")
    with pytest.raises(CheckpointError, match="expected a state, found"):
        load_state(prior(), file)


def test_the_state_of_another_prior_is_refused(tmp_path):
    save_state(prior(), prior().start(2), tmp_path / "state.safetensors")
    with pytest.raises(CheckpointError, match=r"holds no belief of a ProtoNet: unknown part of a state .FastWeights."):
        load_state(ProtoNet(nn.Flatten()), tmp_path / "state.safetensors")


@pytest.mark.parametrize("other", [{"hidden": (16,)}, {"hidden": (8,), "seed": 5}], ids=["wider", "of other weights"])
def test_the_state_of_another_network_is_refused(tmp_path, other):
    networks = MLP(4, hidden=(8,)), MLP(4, **other)
    for one, another in (
        [ProtoNet(net) for net in networks],
        [MAML(MLP(4, 2, net.hidden, seed=net.seed)) for net in networks],
    ):
        save_state(one, one.start(2), tmp_path / "state.safetensors")
        with pytest.raises(CheckpointError, match=f"holds a belief of a {type(one).__name__} with other weights"):
            load_state(another, tmp_path / "state.safetensors")


def test_a_state_is_refused_before_it_is_written(tmp_path):
    prior, other = (DistributedMemory(MLP(1, 2, hidden=(width,)), (1,), 2) for width in (4, 3))
    with pytest.raises(ShapeError):
        save_state(prior, other.start(1), tmp_path / "state.safetensors")
    with pytest.raises(ShapeError, match="state: expected a belief of this DistributedMemory"):
        save_state(prior, {"a": torch.zeros(1)}, tmp_path / "state.safetensors")
    with pytest.raises(DataError, match=r"path: .* is a folder; expected the name of a file"):
        save_state(prior, prior.start(1), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_state_without_its_tensors_is_damaged(tmp_path):
    save_state(prior(), prior().start(2), tmp_path / "state.safetensors")
    with safe_open(tmp_path / "state.safetensors", framework="pt") as opened:
        header = opened.metadata()
    save_file({}, tmp_path / "state.safetensors", header)
    with pytest.raises(CheckpointError, match="damaged"):
        load_state(prior(), tmp_path / "state.safetensors")
