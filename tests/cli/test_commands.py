"""The command line as a user meets it: what it prints, what it writes, and what it says to wrong input."""

import csv
import json
import subprocess
import sys
import warnings

import pytest
import torch

from metaprior import evaluate, load, read_card
from metaprior.cli import COMMANDS, main
from metaprior.cli.display import table
from metaprior.errors import MetapriorError
from metaprior.molecules import NCI, assay_protocol
from metaprior.registry import priors

WAVES = ["--tasks", "sinusoid", "--tasks.queries", "10"]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "waves"
    words = ["--prior", "maml", "--prior.inner_steps", "2", "--net", "mlp", "--net.hidden", "[8]"]
    assert main(["acquire", *words, *WAVES, "--steps", "4", "--validations", "2", "--out", str(out)]) == 0
    return out


def test_acquire_writes_checkpoint_log_and_options(run_folder):
    prior = load(run_folder)
    assert (prior.inner_steps, prior.net.hidden) == (2, (8,))
    with open(run_folder / "log.csv") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["2", "4"]


def test_saved_options_repeat_the_run(run_folder, tmp_path):
    assert main(["acquire", "--config", str(run_folder / "config.yaml"), "--out", str(tmp_path)]) == 0
    again, first = load(tmp_path).state_dict(), load(run_folder).state_dict()
    assert all(bool((again[name] == value).all()) for name, value in first.items())


def test_a_flag_wins_over_the_file(run_folder, tmp_path):
    words = ["--config", str(run_folder / "config.yaml"), "--prior.inner_steps", "3", "--out", str(tmp_path)]
    assert main(["acquire", *words]) == 0
    assert load(tmp_path).inner_steps == 3


def test_switches_and_dashes(tmp_path):
    words = ["--prior", "maml", "--prior.first-order", *WAVES, "--steps", "2", "--save-every=0", "--out", str(tmp_path)]
    assert main(["acquire", *words]) == 0
    assert load(tmp_path).first_order is True
    assert main(["acquire", *words, "--resume"]) == 0
    assert main(["acquire", *words, "--resume", "false"]) == 0


def test_a_warning_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        "metaprior.cli.list_command.run", lambda words: warnings.warn("row 3 was skipped", stacklevel=1)
    )
    assert main(["list"]) == 0
    assert capsys.readouterr().err == "metaprior: row 3 was skipped\n"


GENERAL = [
    name
    for name in priors
    if priors[name].kinds & {"classification", "regression"} and priors[name].needs_net in (None, "mlp")
]


@pytest.mark.parametrize("name", GENERAL)
def test_every_prior_is_acquired_stored_and_scored(name, tmp_path):
    tasks = WAVES if "regression" in priors[name].kinds else ["--tasks", "glyphs"]
    net = ["--net", "mlp", "--net.hidden", "[8]"]
    words = ["--prior", name, *net, *tasks, "--steps", "2", "--tasks_per_step", "2", "--validations", "0"]
    assert main(["acquire", *words, "--seed", "3", "--out", str(tmp_path)]) == 0
    assert main(["evaluate", str(tmp_path), "--episodes", "2"]) == 0


def test_a_preset_gives_its_arguments(tmp_path):
    assert main(["acquire", "--prior", "fomaml", *WAVES, "--steps", "1", "--out", str(tmp_path)]) == 0
    assert load(tmp_path).first_order is True


def test_evaluate_scores_on_the_tasks_of_the_run_or_others(run_folder, tmp_path, capsys):
    assert main(["evaluate", str(run_folder), "--episodes", "5", "--out", str(tmp_path / "own.json")]) == 0
    assert "95 % interval over 5 tasks" in capsys.readouterr().out
    wide = ["--tasks", "sinusoid", "--tasks.amplitude", "[5,8]", "--out", str(tmp_path / "wide.json")]
    assert main(["evaluate", str(run_folder), "--episodes", "5", *wide]) == 0
    own, other = (json.loads((tmp_path / name).read_text()) for name in ("own.json", "wide.json"))
    assert own["test_hash"] != other["test_hash"]


def test_evaluate_scores_assays_by_the_size_of_their_supports(tmp_path, capsys):
    tasks = ["--tasks", "nci", "--tasks.molecules", "200"]
    run = str(tmp_path / "run")
    assert main(["acquire", "--prior", "protonet", *tasks, "--steps", "1", "--validations", "0", "--out", run]) == 0
    out = tmp_path / "sizes.json"
    assert main(["evaluate", run, "--sizes", "[8,16]", "--draws", "2", "--out", str(out)]) == 0
    result = json.loads(out.read_text())
    assert [row["support"] for row in result["rows"]] == [8, 16]
    wanted = assay_protocol(load(run), NCI(molecules=200), [8, 16], draws=2)
    assert result["rows"] == wanted.rows
    assert result["draws_hash"] == wanted.hash
    assert f"{wanted.rows[0]['delta_auprc']:.3f} ± " in capsys.readouterr().out
    assert main(["evaluate", run, "--sizes", "8", "--draws", "1", "--split", "valid"]) == 0
    assert "each the mean of one support" in " ".join(capsys.readouterr().out.split())
    assert main(["evaluate", run, "--sizes", "4000"]) == 2
    told = capsys.readouterr().err
    assert (
        "sizes: the test split has no task with 4000 molecules for a support, and more to ask about; the most" in told
    )


def test_tasks_of_molecules_are_featurised_as_the_prior_knows_them(tmp_path, capsys):
    run, few = str(tmp_path / "run"), ["--tasks", "nci", "--tasks.molecules", "150", "--tasks.shots", "8"]
    features = ["--tasks.featuriser", "torsions+descriptors"]
    net = ["--prior", "multitask_probe", "--net", "mlp", "--net.hidden", "[8]", "--steps", "1", "--validations", "0"]
    assert main(["acquire", *net, *few, *features, "--out", run]) == 0
    other = ["--tasks", "nci", "--tasks.molecules", "120", "--tasks.shots", "8"]
    out = tmp_path / "other.json"
    assert main(["evaluate", run, *other, "--sizes", "8", "--draws", "2", "--out", str(out)]) == 0
    prior, recorded = load(run), read_card(run)["inputs"]
    source = NCI(shots=8, molecules=120).as_acquired(recorded)
    assert source.inputs["featuriser"] == recorded["featuriser"]
    alike = NCI(molecules=120, featuriser=recorded["featuriser"])
    assert source.inputs["fitted"] == recorded["fitted"] != alike.inputs["fitted"]
    wanted = assay_protocol(prior, source, [8], draws=2)
    assert json.loads(out.read_text())["rows"] == wanted.rows
    assert assay_protocol(prior, alike, [8], draws=2).rows == wanted.rows
    with pytest.raises(MetapriorError, match=r"featuriser: the prior was acquired with .*joined"):
        evaluate(prior, NCI(molecules=120), episodes=2)
    with pytest.raises(MetapriorError, match="featuriser: the prior was acquired with"):
        assay_protocol(prior, NCI(molecules=120), [8])
    capsys.readouterr()
    assert main(["evaluate", run, *other, "--tasks.featuriser", "morgan"]) == 2
    assert "featuriser: the prior was acquired with" in capsys.readouterr().err
    further = ["acquire", "--start", run, *other, "--steps", "1", "--validations", "0", "--out", str(tmp_path / "on")]
    assert main(further) == 0
    assert read_card(tmp_path / "on")["inputs"]["fitted"] == recorded["fitted"]
    assert main([*further, "--prior", "adkf"]) == 0
    assert read_card(tmp_path / "on")["inputs"]["featuriser"] == recorded["featuriser"]
    assert main([*further, "--tasks.featuriser", "morgan"]) == 2
    assert "--tasks.featuriser: the prior was acquired with" in capsys.readouterr().err


def test_settings_of_a_prior_can_be_changed_for_once(tmp_path, capsys):
    run, net = str(tmp_path / "run"), ["--net", "transformer", "--net.width", "8", "--net.layers", "1"]
    few = ["--tasks", "nci", "--tasks.molecules", "60", "--tasks.featuriser", "smiles_tokens", "--steps", "1"]
    words = ["acquire", "--prior", "sequence_diffusion", *net, *few, "--validations", "0", "--out", run]
    assert main(words) == 0
    files = ["--support", "examples/molecules_assay.csv", "--query", "examples/molecules_library.csv"]
    adapted = ["adapt", run, *files, "--target", "logp"]
    capsys.readouterr()
    found = {}
    for settings in ((), ("--layer", "1"), ("--layer", "0"), ("--layer", "0", "--noise_level", "0.5")):
        assert main([*adapted, *settings]) == 0
        found[settings] = capsys.readouterr().out
    first, last, *others = found.values()
    assert first == last
    assert len({first, *others}) == 3
    assert main(["evaluate", run, "--sizes", "8", "--draws", "1", "--layer", "0"]) == 0
    for wrong, told in {
        ("--layer", "7"): "layer: expected 0 to 1, got 7",
        ("--test_steps", "3"): "has no such setting",
    }.items():
        assert main([*adapted, *wrong]) == 2
        assert told in capsys.readouterr().err


def test_evaluate_changes_a_setting_of_the_tasks_of_the_run(run_folder, tmp_path, capsys):
    out = ["--out", str(tmp_path / "out.json")]
    found = []
    for words in ([], ["--tasks.amplitude", "[5,8]"], [*WAVES, "--tasks.amplitude", "[5,8]"]):
        # The file of the result is there from the second time on, and is not taken for the run.
        assert main(["evaluate", *out, str(run_folder), "--episodes", "5", *words]) == 0
        found.append(json.loads((tmp_path / "out.json").read_text()))
    own, changed, named = found
    assert own["source"].startswith("sinusoid: ")
    assert "5.0, 8.0" in changed["source"]
    assert own["test_hash"] != changed["test_hash"] == named["test_hash"]


def test_compare_prints_a_table_with_controls(tmp_path, capsys):
    words = [
        "--priors",
        "ridge",
        "--budget",
        "0.1",
        "--episodes",
        "4",
        "--validations",
        "1",
        "--net",
        "mlp",
        "--net.hidden",
        "[8]",
        "--out",
        str(tmp_path),
    ]
    assert main(["compare", *WAVES, *words]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("ridge", "scratch†", "fine_tune†", "frozen†"))
    assert (tmp_path / "report.html").is_file()
    assert load(tmp_path / "ridge").net.hidden == (8,)


def test_a_memory_is_acquired_on_streams_and_followed(tmp_path, capsys):
    tasks = ["--tasks", "strokes", "--tasks.ways", "3", "--tasks.shots", "6", "--tasks.queries", "1"]
    words = ["--prior", "distributed_memory", "--net", "mlp", "--net.hidden", "[8]", *tasks, "--validations", "0"]
    run, out = str(tmp_path / "run"), tmp_path / "out"
    assert main(["acquire", *words, "--delay", "2", "--length", "12", "--steps", "2", "--out", run]) == 0
    assert read_card(run)["stream"] == {"delay": 2, "steps": 12, "latest": None, "never": 0.0}
    assert main(["stream", run, "--streams", "5", "--out", str(out)]) == 0
    assert "over 12 steps of 5 streams" in " ".join(capsys.readouterr().out.split())
    assert {path.name for path in out.iterdir()} == {"result.json", "steps.csv", "curves.csv", "stream.png"}
    assert json.loads((out / "result.json").read_text())["tasks"]["arguments"]["ways"] == 3
    late = [*words, "--steps", "2", "--out", str(tmp_path / "late"), "--latest", "4", "--never", "0.5"]
    assert main(["acquire", *late, "--delay", "2"]) == 0
    assert read_card(tmp_path / "late")["stream"] == {"delay": 2, "steps": None, "latest": 4, "never": 0.5}
    assert main(["acquire", *late]) == 2
    assert "--latest: it is one of streams, which --delay asks for" in capsys.readouterr().err
    assert main(["acquire", "--config", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml cannot be read: No such file" in " ".join(capsys.readouterr().err.split())
    assert main(["stream", run, "--streams", "5", "--delay", "3", "--latest", "5", "--never", "0.2"]) == 0
    drawn = str(tmp_path / "late")
    for changed, wanted in (
        ([], {"delay": 2, "steps": None, "latest": 4, "never": 0.5}),
        (["--delay", "5"], {"delay": 5, "steps": None, "latest": None, "never": 0.5}),
        (["--latest", "null", "--never", "0"], {"delay": 2, "steps": None, "latest": None, "never": 0.0}),
    ):
        assert main(["stream", drawn, "--streams", "2", *changed, "--out", str(out)]) == 0
        assert json.loads((out / "result.json").read_text())["stream"] == wanted
    capsys.readouterr()
    assert main(["stream", run, "--streams", "2", "--length", "null"]) == 0
    assert "over 18 steps of 2 streams" in " ".join(capsys.readouterr().out.split())
    assert main(["stream", run, "--streams", "2", "--length", "null", "--tasks.shots", "1", "--out", str(out)]) == 0
    assert "Each class comes once" in capsys.readouterr().out
    assert main(["stream", run, "--streams", "5", "--delay", "99"]) == 2
    assert "delay: expected 1 to 12 steps" in capsys.readouterr().err
    for wrong, sentence in (
        (["--tasks.ways", "5"], "prior: has 3 outputs; Streams has tasks of up to 5 classes"),
        (["--window", "0"], "window: expected a positive number, got 0"),
        (["--latest", "50"], "latest: expected a delay of at most the 12 steps of a stream, got 50"),
        (["--tasks.size", "9"], "its network takes inputs"),
        (["--length", "0"], "length: expected a positive number, got 0"),
        (["--length", "99"], "steps (--length): expected at most the 18 examples of a task, got 99"),
        (["--streams", "0"], "streams: expected a positive number, got 0"),
        (["--tasks", "glyphs"], "its network takes inputs of the shape (1, 10, 10)"),
    ):
        assert main(["stream", run, *wrong]) == 2
        assert sentence in capsys.readouterr().err


def test_acquisition_goes_on_from_a_run_with_other_tasks(tmp_path, capsys):
    words = ["--steps", "2", "--validations", "0"]
    first, second, third = (str(tmp_path / name) for name in ("first", "second", "third"))
    few, more = (["--tasks", "strokes", "--tasks.ways", ways, "--delay", "1"] for ways in ("3", "[2,3]"))
    prior = ["--prior", "distributed_memory", "--net", "mlp", "--net.hidden", "[8]"]
    assert main(["acquire", *prior, *few, *words, "--out", first]) == 0
    assert main(["acquire", "--start", first, *more, *words, "--out", second]) == 0
    assert main(["acquire", "--config", f"{second}/config.yaml", "--out", third]) == 0
    card = read_card(second)
    assert card["tasks"]["arguments"]["ways"] == [2, 3]
    assert card["start"]["tasks"]["arguments"]["ways"] == 3
    assert card["start"]["step"] == 2
    old, new, again = (load(run).state_dict() for run in (first, second, third))
    assert not torch.equal(old["net.head.weight"], new["net.head.weight"])
    assert torch.equal(new["net.head.weight"], again["net.head.weight"])
    assert main(["acquire", "--start", first, *prior, *more, *words]) == 2
    assert "has a network; expected no --net" in " ".join(capsys.readouterr().err.split())


def test_another_prior_takes_the_network_of_a_run(tmp_path, capsys):
    words = ["--tasks", "glyphs", "--tasks.size", "10", "--steps", "2", "--validations", "0"]
    first, second, third = (str(tmp_path / name) for name in ("first", "second", "third"))
    assert main(["acquire", "--prior", "protonet", "--net", "mlp", "--net.hidden", "[8]", *words, "--out", first]) == 0
    assert main(["acquire", "--prior", "dkt", "--start", first, *words, "--out", second]) == 0
    assert main(["acquire", "--config", f"{second}/config.yaml", "--out", third]) == 0
    new, again = load(second), load(third)
    assert type(new).__name__ == "DKT"
    assert new.net.hidden == (8,)
    assert read_card(second)["start"]["step"] == 2
    moved = new.net.layers[0].weight - load(first).net.layers[0].weight
    assert 0 < moved.abs().max() < 0.01, "two steps from where the other left off"
    assert torch.equal(new.net.layers[0].weight, again.net.layers[0].weight)
    assert main(["acquire", "--prior", "maml", "--start", first, *words]) == 2
    assert "ends with features; that of a MAML with outputs" in " ".join(capsys.readouterr().err.split())


def test_masks_are_learned_in_streams(tmp_path, capsys):
    tasks = ["--tasks", "glyph_scenes", "--tasks.size", "16", "--tasks.distractors", "1", "--tasks.shots", "3"]
    words = ["--prior", "distributed_memory", "--net", "unet", "--net.widths", "[4,4]", *tasks, "--delay", "1"]
    run, out = str(tmp_path / "run"), tmp_path / "out"
    assert main(["acquire", *words, "--steps", "1", "--validations", "1", "--validation-tasks", "2", "--out", run]) == 0
    assert main(["stream", run, "--streams", "2", "--out", str(out)]) == 0
    assert "step iou" in " ".join(capsys.readouterr().out.split())
    assert (out / "steps.csv").read_text().startswith("step,iou,iou of the last 10 steps\n")
    assert main(["evaluate", run, "--episodes", "2"]) == 0
    assert "metric iou" in " ".join(capsys.readouterr().out.split())
    assert main(["acquire", "--prior", "protonet", *tasks, "--steps", "1"]) == 2
    assert "ProtoNet is for classification tasks; GlyphScenes has segmentation" in capsys.readouterr().err
    assert main(["acquire", "--prior", "maml", "--net", "conv4", *tasks, "--steps", "1"]) == 2
    assert "net: 'conv4' does not label pixels" in capsys.readouterr().err


def test_list_names_everything(capsys):
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    assert all(f"  {name} " in printed for name in ("maml", "protonet", "conv4", "glyphs", "fomaml"))


def test_data_list_tells_what_is_here(capsys):
    assert main(["data", "list"]) == 0
    assert "omniglot" in capsys.readouterr().out


def test_help_of_every_command(capsys):
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in COMMANDS)
    for name in COMMANDS:
        with pytest.raises(SystemExit) as stop:
            main([name, "--help"])
        assert stop.value.code == 0
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["acquire", "--prior", "maml", "--help"])
    assert "gradient steps on the support set" in capsys.readouterr().out


WRONG = {
    "lst": "did you mean 'list'?",
    "acquire --prior mmal --tasks sinusoid --steps 1": "did you mean 'maml'?",
    "acquire --tasks sinusoid --steps 1": "--prior: expected a name; known: adkf, amortised, anil",
    "acquire --start nowhere --tasks sinusoid --steps 1": "nowhere",
    "acquire --prior maml --steps 1": "--tasks: expected a name",
    "acquire --prior maml --tasks sinusoid": "steps, budget: expected one of them, or both; got neither",
    "acquire --prior maml --tasks sinusoid --steps 0": "steps: expected a positive number, got 0",
    "acquire --prior maml --tasks sinusoid --steps x": "--steps: expected a whole number or null, got x",
    "acquire --prior maml --tasks sinusoid --prior.inner_stepz 1": "--prior.inner_stepz",
    "acquire --prior maml --tasks sinusoid:folder --steps 1": "takes nothing after a colon",
    "acquire --prior maml --tasks sinusoid --steps 1 --net conv4": "'conv4' takes images",
    "acquire --prior protonet --tasks sinusoid --steps 1": "ProtoNet is for classification tasks",
    "acquire --prior maml --tasks sinusoid --steps 1 --device nowhere": "--device: 'nowhere' cannot be used here",
    "acquire --prior maml --tasks sinusoid --steps 1 --threads 0": "--threads: expected at least 1",
    "acquire --prior maml --tasks sinusoid --config missing.yaml": "missing.yaml",
    "acquire --prior maml --tasks": "--tasks: expected a value",
    "evaluate nowhere": "nowhere/prior.safetensors: no such checkpoint",
    "evaluate zoo:nothing": "unknown prior of the zoo 'nothing'",
    "compare --tasks sinusoid --priors maml --shots 1,x": "--shots: expected positive numbers",
    "list everything": "unknown list 'everything'",
    "data fetch": "unknown action 'fetch'",
    "data path": "expected the name of a data set",
    "data path nothing": "unknown data set 'nothing'",
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_input_is_one_sentence_and_exit_status_2(words, capsys):
    assert main(words.split()) == 2
    complaint = capsys.readouterr().err
    assert WRONG[words] in complaint
    assert complaint.count("\n") == 1
    assert complaint.startswith("metaprior: ")


def test_installed_command_shows_no_traceback(tmp_path):
    words = [sys.executable, "-m", "metaprior", "evaluate", str(tmp_path)]
    finished = subprocess.run(words, capture_output=True, text=True, check=False)
    assert finished.returncode == 2
    assert "Traceback" not in finished.stderr


def test_no_cell_of_a_table_is_broken_in_a_narrow_terminal(capsys):
    wide = "a score that is wider than a terminal " * 3
    table(["prior", "score"], [["maml", wide], ["scratch", "0.5"]])
    assert wide.strip() in capsys.readouterr().out
