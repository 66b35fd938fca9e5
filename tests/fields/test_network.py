import pytest
import torch
from safetensors.torch import load_file, save_file

from metaprior.errors import CheckpointError
from metaprior.fields import Field, FieldNetwork, TriPlane, frozen, load_field, save_field

FIELD = Field(TriPlane(cells=4, channels=2), width=8, hidden=2, directions=True)


@pytest.fixture
def weights():
    return frozen(FIELD, FIELD.initial(3, torch.Generator().manual_seed(0), shared_encoder=True), cells=4)


def test_a_network_computes_what_the_field_does(weights):
    x, d = torch.rand(2, 5, 3)
    expected = FIELD(weights, x.expand(3, -1, -1), d.expand(3, -1, -1))
    for scene in range(3):
        density, colour = FieldNetwork(FIELD, weights, scene)(x, d)
        torch.testing.assert_close((density, colour), (expected[0][scene], expected[1][scene]))


def test_a_network_is_an_ordinary_module(weights):
    network = FieldNetwork(FIELD, weights)
    assert isinstance(network.layers[0], torch.nn.Linear)
    density, colour = network(torch.zeros(1, 3), torch.zeros(1, 3))
    (density.sum() + colour.sum()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert set(network.state_dict()) == set(weights)


def test_a_file_gives_the_network_back(weights, tmp_path):
    save_field(tmp_path / "field.safetensors", FIELD, weights, scene=1, prompt="a red ball")
    network, facts = load_field(tmp_path)
    assert facts == {"prompt": "a red ball"}
    x = torch.rand(4, 3)
    torch.testing.assert_close(network(x, x), FieldNetwork(FIELD, weights, 1)(x, x), rtol=0, atol=0)


def test_wrong_files(weights, tmp_path):
    with pytest.raises(CheckpointError, match="no such field"):
        load_field(tmp_path)
    path = save_field(tmp_path / "a.safetensors", FIELD, weights)
    named = load_file(path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="is damaged or no field"):
        load_field(path)
    save_file(named, path)
    with pytest.raises(CheckpointError, match="not a field of metaprior"):
        load_field(path)
    del weights["layers.0.bias"]
    save_field(path, FIELD, weights)
    with pytest.raises(CheckpointError, match=r"layers\.0\.bias"):
        load_field(path)
