import warnings

import pytest
import torch

from metaprior import MAML, load, read_card, save
from metaprior.cli import main
from metaprior.errors import DataError, MetapriorError
from metaprior.fields import (
    AnalyticScene,
    Cameras,
    HyperFieldNet,
    HyperFields,
    Scenes,
    between_prompts,
    generate,
    load_field,
    psnr,
    refine,
    render_views,
)
from metaprior.fields.export import export
from metaprior.fields.generate import said
from metaprior.nets import MLP
from metaprior.registry import build

WORDS = ["--tasks", "scenes", "--tasks.shapes", "2", "--tasks.colours", "2", "--tasks.held_out", "1"]
SIZES = ["--tasks.size", "8", "--tasks.views", "5", "--tasks.queries", "8", "--tasks.shots", "1"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("prior")
    few = ["--steps", "2", "--tasks_per_step", "2", "--validations", "1", "--validation-tasks", "2"]
    assert (
        main(["acquire", "--prior", "hyperfields", "--prior.samples", "4", *WORDS, *SIZES, *few, "--out", str(out)])
        == 0
    )
    return out


def test_a_prompt_becomes_files(run, tmp_path, capsys):
    out, film = tmp_path / "a.ply", tmp_path / "a.gif"
    words = ["--prior", str(run), "--out", str(out), "--turntable", str(film), "--size", "8", "--frames", "2"]
    assert main(["generate", "a green ball", *words, "--cells", "24", "--level", "1"]) == 0
    assert out.is_file()
    assert film.is_file()
    assert "never met" not in capsys.readouterr().err


def test_acquired_priors_are_scored(run):
    assert main(["evaluate", str(run), "--episodes", "3"]) == 0


def test_unknown_words_are_warned_of_with_the_nearest_prompts(run):
    with pytest.warns(UserWarning, match=r"'xylophone' was never met in acquisition; the nearest known: a .*; a "):
        generate("a red xylophone", run)
    with pytest.warns(UserWarning, match="'xylophone', 'zebra' were never met"):
        generate("a xylophone, a zebra, a xylophone", run)


def test_an_unknown_word_leaves_the_others_understood():
    with pytest.warns(UserWarning, match="'xylophone' was never met"):
        assert said("a Xylophone, a shiny sphere", Scenes(materials=2)) == "a Xylophone, a glossy ball"
    assert said("Grandma's teapot, blue-ish (old)") == "Grandma's teapot, blue-ish (old)"


def test_what_is_no_thing_and_what_are_too_many_is_warned_of():
    with pytest.warns(UserWarning, match="expected a shape, such as 'torus', in 'red'; got 'red'; the prior may make"):
        assert said("red", Scenes()) == "red"
    three = "a red ball on a green box on a red ball"
    with pytest.warns(UserWarning, match="has 3 things, where scenes of acquisition had at most 2"):
        assert said(three, Scenes(drawn=50)) == three


def test_scenes_that_are_gone_are_not_asked_for(tmp_path):
    source = Scenes(scenes=(str(tmp_path / "gone.glb"), "a red ball"))
    assert said("a shiny red ball", source) == "a glossy red ball"


def test_what_is_generated_is_written_as_a_network_too(run, tmp_path):
    out, picture = tmp_path / "ball.safetensors", tmp_path / "ball.png"
    assert main(["generate", "a red ball", "--prior", str(run), "--out", str(out)]) == 0
    assert main(["render", str(out), "--out", str(picture), "--size", "8"]) == 0
    assert picture.is_file()
    network, _ = load_field(out)
    field, weights = generate("a red ball", run)
    points = torch.rand(1, 9, 3)
    torch.testing.assert_close(network.field(network.weights, points), field(weights, points))


def test_everything_is_computed_where_the_weights_are(tmp_path):
    """In double precision, which shows tensors made without a word of it where they are multiplied, not where added."""
    own = HyperFields(HyperFieldNet(64, cells=6, width=8, hidden=1), "words", samples=8).double()
    views = AnalyticScene("a red ball").views(Cameras.on_sphere(3, size=12))
    field, weights = generate("a red ball", own)
    for ending in ("png", "gif", "ply", "safetensors"):
        export(field, weights, tmp_path / f"a.{ending}", size=8, frames=2, samples=8, cells=16, level=0.1)
    assert render_views(field, weights, Cameras.turntable(1, 8), 8, normals=True).normals.dtype == torch.float64
    few = {"steps": 2, "samples": 8}
    for changes in ("everything", "code", "last", "weights"):
        refined = refine(own, "a red ball", views, changes=changes, rays=32, **few)
        assert refined["layers.0.weight"].dtype == torch.float64
    refine(own, "a red ball", guidance=lambda images, text, step: images.float(), changes="code", **few)
    for through in ("code", "tokens"):
        between = between_prompts(own, "a red ball", "a green box on a ball", frames=2, through=through)
        assert between["layers.0.weight"].dtype == torch.float64


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_makes_what_a_cpu_does(run, tmp_path):
    prior = load(run)
    views = AnalyticScene("a red ball").views(Cameras.on_sphere(3, size=12))
    camera = Cameras.turntable(2, 8)
    seen = []
    for device in ("cpu", "cuda"):
        field, weights = generate("a red ball", prior.to(device))
        refined = refine(prior, "a red ball", views, steps=2, rays=32, samples=8)
        assert refined["layers.0.weight"].device.type == device
        for ending in ("png", "gif", "ply", "safetensors"):
            export(field, weights, tmp_path / f"a.{ending}", size=8, frames=2, samples=8, cells=16, level=0.1)
        between_prompts(prior, "a red ball", "a green box", frames=2)
        seen.append(render_views(field, weights, camera, 8, normals=True).colour.cpu())
    torch.testing.assert_close(seen[1], seen[0], atol=1e-3, rtol=1e-3)


def test_synonyms_mean_the_same():
    own = HyperFields(HyperFieldNet(64, cells=6, width=8, hidden=1), "words", samples=8)
    one, other = (generate(prompt, own)[1] for prompt in ("a shiny red donut", "a glossy red torus"))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_collapse_is_told():
    own = HyperFields(HyperFieldNet(64, cells=6, width=8, hidden=1), "words", samples=8)
    with torch.no_grad():
        own.net.writers[-1].base[-4] -= 100.0  # the logarithm of the density
    with pytest.warns(UserWarning, match="shows next to nothing"):
        generate("a red ball", own)
    with torch.no_grad():
        own.net.writers[-1].base[-4] += 200.0
    with pytest.warns(UserWarning, match="shows a blob that fills the picture"):
        generate("a red ball", own)


def test_collapse_is_told_of_what_was_adapted_too(tmp_path, capsys):
    empty = HyperFields(HyperFieldNet(64, cells=6, width=8, hidden=1), "words", samples=8)
    with torch.no_grad():
        empty.net.writers[-1].base[-4] -= 100.0
    save(empty, tmp_path / "prior.safetensors")
    words = ["--prior", str(tmp_path / "prior.safetensors"), "--out", str(tmp_path / "a.png"), "--size", "8"]
    assert main(["generate", "a red ball", *words, "--views", "a red ball", "--steps", "1"]) == 0
    assert "shows next to nothing" in capsys.readouterr().err


def test_each_call_is_warned_of_where_it_stands(run):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("default")
        generate("a red xylophone", run)
        generate("a red xylophone", run)
    lines = [warning.lineno for warning in found if "xylophone' was never met" in str(warning.message)]
    assert len(lines) == 2
    assert lines[1] == lines[0] + 1
    assert {warning.filename for warning in found} == {__file__}


def test_wrong_inputs(run, tmp_path, capsys):
    with pytest.raises(DataError, match="prompt: expected words"):
        generate(" ", run)
    for ending in ("stl", "avi"):
        words = ["generate", "a red ball", "--prior", str(run), "--out", str(tmp_path / f"a.{ending}")]
        assert main(words) == 2  # said before anything is made
        assert f"unknown format '.{ending}'" in capsys.readouterr().err
    for place in (tmp_path / "a.glb" / "b.glb", tmp_path / "folder.glb"):
        (tmp_path / "a.glb").touch()
        (tmp_path / "folder.glb").mkdir(exist_ok=True)
        assert main(["generate", "a red ball", "--prior", str(tmp_path / "none"), "--out", str(place)]) == 2
        assert f"out: {place} " in capsys.readouterr().err  # said before the prior is looked for
    assert main(["generate", "a red ball", "--steps", "7", "--out", str(tmp_path / "b.glb")]) == 2
    assert "steps: expected --views or --guidance beside it" in capsys.readouterr().err
    for words in (["--convention", "opencv"], ["--skip_bad", "true", "--guidance", "none"]):
        assert main(["generate", "a red ball", *words, "--out", str(tmp_path / "b.glb")]) == 2
        assert f"{words[0][2:]}: expected --views beside it" in capsys.readouterr().err
    assert main(["generate", "a red ball", "--device", "abacus", "--out", str(tmp_path / "b.glb")]) == 2
    assert "--device: 'abacus' cannot be used here" in capsys.readouterr().err
    assert main(["generate", "a red ball", "--device", "meta", "--out", str(tmp_path / "b.glb")]) == 2
    assert "--device: 'meta' holds no numbers" in capsys.readouterr().err
    assert main(["generate", "a red ball"]) == 2
    assert "out, turntable: expected a file" in capsys.readouterr().err
    for film, told in (("a.png", "turntable: expected a film to end in .mp4 or .gif"), ("a.gif", "for a film")):
        words = ["--turntable", str(tmp_path / film), "--background", "transparent"]
        assert main(["generate", "a red ball", *words]) == 2
        assert told in capsys.readouterr().err
    both = ["--out", str(tmp_path / "a.gif"), "--turntable", str(tmp_path / "a.gif")]
    assert main(["generate", "a red ball", *both]) == 2
    assert "out, turntable: expected two files" in capsys.readouterr().err
    assert main(["generate", "a red ball", *both[:2], "--views", "a red ball", "--convention", "opencv"]) == 2
    assert "they are for posed pictures, and 'a red ball' has none" in capsys.readouterr().err
    save(MAML(MLP(1, 1)), tmp_path)
    with pytest.raises(MetapriorError, match="prior: expected one that makes fields"):
        generate("a red ball", tmp_path)


def test_the_prior_of_the_zoo_makes_what_prompts_say_that_it_never_met():
    """The field of a prompt is nearer to its own scene than to that of any other prompt."""
    source = build(read_card("zoo:scenes")["tasks"])
    prompts = ["a striped black cone", "a glossy red torus", "a checkered cyan ball", "a white bowl"]
    assert set(prompts) <= set(source.prompts("test"))
    truths = [source.pictures(prompt, 1) for prompt in prompts]
    for own, prompt in enumerate(prompts):
        field, weights = generate(prompt)
        seen = render_views(field, weights, truths[own].cameras, samples=48).over()
        scores = [psnr(seen, truth.over()).item() for truth in truths]
        assert scores.index(max(scores)) == own
        assert scores[own] > 17
