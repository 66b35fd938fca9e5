import pytest
import torch

from metaprior import save
from metaprior.cli import main
from metaprior.errors import UnknownNameError
from metaprior.fields import between_prompts, film_between


@pytest.fixture(scope="module")
def own(prior):
    return prior(hidden=1).eval()


@pytest.mark.parametrize("through", ["code", "tokens"])
def test_the_way_begins_and_ends_at_the_prompts(own, through):
    prompts = ["a red ball", "a green cone"]
    way = between_prompts(own, *prompts, frames=5, through=through)
    for frame, prompt in ((0, prompts[0]), (-1, prompts[1])):
        wanted = own.start(1, about=[prompt]).weights["layers.1.weight"][0]
        torch.testing.assert_close(way["layers.1.weight"][frame], wanted, atol=1e-5, rtol=1e-4)
    steps = way["layers.1.weight"].diff(dim=0).flatten(1).norm(dim=1)
    assert (steps > 0).all()
    assert steps.max() < 0.8 * steps.sum()


def test_a_film(own, tmp_path, capsys):
    assert film_between(own, "a red ball", "a green cone", frames=3, size=6).shape == (3, 6, 6, 3)
    save(own, tmp_path / "prior.safetensors")
    words = ["a red ball", "a green cone", "--prior", str(tmp_path / "prior.safetensors"), "--size", "6"]
    assert main(["interpolate", *words, "--frames", "3", "--out", str(tmp_path / "a.gif")]) == 0
    assert (tmp_path / "a.gif").is_file()
    assert main(["interpolate", *words, "--out", str(tmp_path / "a.png")]) == 2
    assert "out: expected a film to end in .mp4 or .gif" in capsys.readouterr().err


def test_ends_that_show_nothing_are_told_of(prior):
    empty = prior(hidden=1)
    with torch.no_grad():
        empty.net.writers[-1].base[-4] -= 100.0  # the logarithm of the density
    with pytest.warns(UserWarning, match="shows next to nothing") as told:
        film_between(empty, "a red ball", "a green cone", frames=3, size=6)
    ends = [str(warning.message) for warning in told]
    assert [prompt in said for prompt, said in zip(("a red ball", "a green cone"), ends, strict=True)] == [True, True]


def test_wrong_ways(own):
    with pytest.raises(UnknownNameError, match="unknown choice for through 'words'"):
        between_prompts(own, "a red ball", "a green cone", through="words")
