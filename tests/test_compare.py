"""Comparisons: equal tasks, equal time, controls, and an honest verdict."""

import inspect
import json
import os
import signal

import pytest
import torch

from metaprior import MAML, FineTune, Frozen, Ridge, Scratch, compare, evaluate
from metaprior.acquire import validation_set
from metaprior.compare import CONTROLS, Comparison, Entry
from metaprior.errors import AcquireError, MetapriorError
from metaprior.evaluate import Evaluation
from metaprior.nets import MLP, UNet
from metaprior.registry import build
from metaprior.tasks import Sinusoid
from metaprior.testing import ToyTasks

SOURCE = Sinusoid(queries=10)


def entry(name, scores, control=False, metric="accuracy"):
    return Entry(name, control, Evaluation(torch.tensor(scores), metric, "hash", False, 1, 1, 0.1))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("compare")
    return compare(
        SOURCE,
        ["ridge"],
        budget=0.2,
        episodes=12,
        shots=(5, 10),
        shots_episodes=4,
        validations=1,
        validation_tasks=4,
        out=out,
    ), out


def test_holds_the_controls_and_scores_all_on_the_same_tasks(made):
    comparison, _ = made
    assert {entry.name for entry in comparison.entries} == {"ridge", *CONTROLS}
    assert {entry.evaluation.hash for entry in comparison.entries} == {SOURCE.test_set(12, 0).hash}
    assert all(list(entry.by_shots) == [5, 10] for entry in comparison.entries)


def test_curve_by_shots_holds_the_test_set_itself_at_the_shots_of_the_source(made):
    comparison, _ = made
    assert SOURCE.shots == 10
    for row in comparison.entries:
        assert row.by_shots[10] is row.evaluation
        assert len(row.by_shots[5].scores) == 4


def test_gives_each_prior_the_same_time():
    lines = {}

    def note(name, line):
        if line is not None:
            lines.setdefault(name, []).append(line.seconds)

    compare(SOURCE, ["ridge", "maml"], budget=0.1, episodes=4, shots=[], validations=0, report=note)
    assert set(lines) == {"ridge", "maml", "fine_tune", "frozen"}
    for name, seconds in lines.items():
        assert seconds[-1] >= 0.1, f"{name} stopped early"
        assert all(earlier < 0.1 for earlier in seconds[:-1]), f"{name} took a step after its time"


def test_what_learns_nothing_is_scored_on_the_validation_tasks_too(made):
    comparison, _ = made
    scratch = next(entry for entry in comparison.entries if entry.name == "scratch")
    (line,) = scratch.log
    assert line.validation == evaluate(Scratch.for_tasks(SOURCE.spec), validation_set(SOURCE, 4)).mean
    assert scratch.acquire_seconds == 0


def test_a_curve_has_the_shots_of_the_source_and_five_times_as_many():
    settings = {"budget": 0.05, "episodes": 4, "shots_episodes": 2, "controls": False, "validations": 0}
    assert list(compare(SOURCE, ["ridge"], **settings).entries[0].by_shots) == [10, 50]
    assert not compare(SOURCE, ["ridge"], shots=[], **settings).entries[0].by_shots


def test_a_prior_that_fails_is_named_and_the_others_go_on(tmp_path):
    priors = {"wild": MAML(MLP(1, 1), step_size=1e30), "tame": Ridge(MLP(1), 1, scale=1.0)}
    comparison = compare(SOURCE, priors, budget=0.1, episodes=4, shots=[], controls=False, out=tmp_path)
    assert [entry.name for entry in comparison.entries] == ["tame"]
    assert "Not acquired: wild (loss: became nan at step 1" in comparison.verdict()
    assert list(json.loads((tmp_path / "result.json").read_text())["failures"]) == ["wild"]
    with pytest.raises(AcquireError, match="wild: loss: became nan"):
        compare(SOURCE, {"wild": priors["wild"]}, budget=0.1, episodes=4, shots=[], controls=False)


def test_an_interruption_leaves_what_was_compared(tmp_path):
    def stop(name, line):
        if name == "second" and line is not None:
            os.kill(os.getpid(), signal.SIGINT)

    priors = {"first": Ridge(MLP(1), 1), "second": Ridge(MLP(1), 1)}
    with pytest.raises(KeyboardInterrupt):
        compare(SOURCE, priors, budget=0.1, episodes=4, shots=[], controls=False, out=tmp_path, report=stop)
    result = json.loads((tmp_path / "result.json").read_text())
    assert [row["prior"] for row in result["rows"]] == ["first"]
    assert result["settings"]["interrupted"]
    assert (tmp_path / "second" / "prior.safetensors").is_file()


def test_the_settings_are_all_that_is_needed_to_do_it_again(made):
    comparison, _ = made
    settings = comparison.settings
    given = set(inspect.signature(compare).parameters) - {"source", "names", "build_net", "controls", "out", "report"}
    renamed = {"budget": "budget_seconds"}
    assert {renamed.get(name, name) for name in given} <= set(settings)
    rebuilt = {name: build(description) for name, description in settings["priors"].items()}
    assert {type(prior) for prior in rebuilt.values()} == {Ridge, Scratch, FineTune, Frozen}


def test_writes_everything_that_it_found(made):
    comparison, out = made
    result = json.loads((out / "result.json").read_text())
    assert [row["prior"] for row in result["rows"]] == [entry.name for entry in comparison.entries]
    assert result["settings"]["test_hash"] == SOURCE.test_set(12, 0).hash
    assert (out / "ridge" / "prior.safetensors").is_file()


def test_best_comes_first():
    comparison = compare(
        SOURCE, {"a": MAML(MLP(1, 1)), "b": Ridge(MLP(1), 1)}, budget=0.1, episodes=8, controls=False, validations=0
    )
    means = [row.evaluation.mean for row in comparison.entries]
    assert means == sorted(means)
    assert comparison.best_control is None
    assert "No control was run" in comparison.verdict()


def test_margin_is_paired_and_verdict_needs_more_than_chance():
    better, worse, unclear = [0.9, 0.8, 1.0, 0.9], [0.1, 0.2, 0.1, 0.3], [0.9, 0.1, 0.8, 0.2]
    control = entry("scratch", [0.5, 0.4, 0.6, 0.5], control=True)
    rows = [entry("good", better), entry("bad", worse), entry("same", unclear), control]
    comparison = Comparison(rows, {})
    margin, interval = comparison.margin(rows[0])
    assert margin == pytest.approx(0.4)
    assert interval == pytest.approx(0, abs=1e-6)
    assert comparison.margin(control) is None
    assert comparison.verdict() == (
        "Better than the best control (scratch), beyond the 95 % interval: good. Not better: bad, same."
    )


def test_less_error_is_better():
    rows = [entry("good", [1.0, 1.1], metric="mse"), entry("scratch", [2.0, 2.1], control=True, metric="mse")]
    assert Comparison(rows, {}).margin(rows[0])[0] == pytest.approx(1.0)


def test_says_what_does_not_fit():
    with pytest.raises(MetapriorError, match="'protonet' is for classification tasks; Sinusoid has regression tasks"):
        compare(SOURCE, ["protonet"])
    with pytest.raises(MetapriorError, match="did you mean 'ridge'"):
        compare(SOURCE, ["rigde"])
    with pytest.raises(MetapriorError, match="expected at least one"):
        compare(SOURCE, [], controls=False)


def test_masks_are_compared_by_their_overlap(tmp_path):
    source = ToyTasks("segmentation", (1, 4, 4), outputs=2)
    comparison = compare(
        source,
        ["maml"],
        budget=0.05,
        episodes=4,
        shots=[],
        build_net=lambda cls: UNet(1, None if cls.headless else 2, (4,)),
        validations=1,
        validation_tasks=2,
        out=tmp_path,
    )
    assert {entry.name for entry in comparison.entries} == {"maml", *CONTROLS}
    means = [entry.evaluation.mean for entry in comparison.entries]
    assert means == sorted(means, reverse=True), "more is better"
    assert all(entry.evaluation.metric == "iou" for entry in comparison.entries)
    assert "intersection over union" in (tmp_path / "table.md").read_text()
