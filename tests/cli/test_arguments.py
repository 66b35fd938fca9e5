"""Options: those of a chosen class, from words, from a file, and what wins over what."""

from typing import Literal

import pytest
import yaml

from metaprior.cli.arguments import Choice, Parser
from metaprior.cli.choices import PRIOR
from metaprior.errors import MetapriorError, UnknownNameError
from metaprior.registry import Registry, describe, priors
from metaprior.tasks.episode import TaskSpec


class Waves:
    def __init__(
        self,
        ways: int = 5,
        bounds: tuple[float, float] = (0.0, 1.0),
        noisy: bool = False,
        shape: Literal["sine", "saw"] = "sine",
    ):
        self.given = {"ways": ways, "bounds": bounds, "noisy": noisy}


class Folder:
    def __init__(self, folder: str, secret: int = 0):
        self.given = {"folder": folder}


@pytest.fixture
def parser():
    registry = Registry("thing")
    registry.register("waves")(Waves)
    registry.register("folder")(Folder)
    registry.preset("long", "waves", ways=9)

    def make(required=()) -> Parser:
        choice = Choice("things", registry, skip=("secret",), shorthand={"folder": "folder"})
        made = Parser("try", "A command.", choices=[choice], required=required)
        made.options.add_argument("--steps", type=int, default=10)
        made.options.add_argument("--resume", type=bool, default=False)
        return made

    return make


def built(parser: Parser, *words: str) -> dict:
    return parser.build(parser.parse(words), "things").given


def test_a_name_brings_the_options_of_its_class(parser):
    assert built(parser(), "--things", "waves") == {"ways": 5, "bounds": (0.0, 1.0), "noisy": False}
    given = built(parser(), "--things=waves", "--things.ways", "3", "--things.bounds=[1,2]", "--things.noisy")
    assert given == {"ways": 3, "bounds": (1.0, 2.0), "noisy": True}


def test_a_preset_is_a_default_that_words_win_over(parser):
    assert built(parser(), "--things", "long")["ways"] == 9
    assert built(parser(), "--things", "long", "--things.ways", "2")["ways"] == 2


def test_what_stands_after_a_colon(parser):
    assert built(parser(), "--things", "folder:C:/my data") == {"folder": "C:/my data"}
    with pytest.raises(MetapriorError, match="--things: 'waves' takes nothing after a colon, got 'x'"):
        parser().parse(["--things", "waves:x"])


def test_resolved_options_repeat_the_run_and_words_win_over_the_file(parser, tmp_path):
    first = parser()
    asked = first.parse(["--things", "waves", "--things.ways", "7", "--steps", "3", "--threads", "1"])
    (tmp_path / "options.yaml").write_text(first.resolved(asked))
    again = parser()
    repeated = again.parse(["--config", str(tmp_path / "options.yaml")])
    assert yaml.safe_load(again.resolved(repeated)) == yaml.safe_load(first.resolved(asked))
    assert again.build(repeated, "things").given["ways"] == 7
    other = parser()
    changed = other.parse(["--config", str(tmp_path / "options.yaml"), "--steps", "4", "--things", "folder:here"])
    assert (changed.steps, other.build(changed, "things").given) == (4, {"folder": "here"})


def test_what_is_not_for_the_user_to_give_is_left_out_of_a_file(tmp_path):
    (tmp_path / "old.yaml").write_text("prior: {name: oml, unknown: true, step_size: 0.2}")
    parser = Parser("acquire", "", [PRIOR])
    given = parser.given(parser.parse(["--config", str(tmp_path / "old.yaml")]), "prior")
    assert given["step_size"] == 0.2
    assert "unknown" not in given


def test_dashes_and_switches(parser):
    assert parser().parse(["--resume"]).resume is True
    assert parser().parse(["--resume", "false"]).resume is False
    assert parser().parse(["--resume", "--steps", "1"]).resume is True


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["--steps", "many"], "^--steps: expected a whole number, got many$"),
        (["--threads", "few"], "^--threads: expected a whole number or null, got few$"),
        (["--resume", "maybe"], "^--resume: expected true or false, got maybe$"),
        (["--things", "waves", "--things.bounds", "[1]"], "^--things.bounds: expected a list of 2, got "),
        (["--things", "waves", "--things.bounds", "[a,1]"], "^--things.bounds: expected a number, got a$"),
        (["--things", "waves", "--things.shape", "oval"], "^--things.shape: expected one of 'sine', 'saw', got oval$"),
        (["--stepz", "1"], "^try: unknown option --stepz: did you mean --steps[?]$"),
        (
            ["--things", "waves", "--things.wayz=1"],
            "^try: unknown option --things.wayz: did you mean --things.ways[?]$",
        ),
        (["--things", "folder:x", "--things.secret", "1"], "^try: unknown option --things.secret$"),
        (["--steps"], "^try: argument --steps: expected one argument$"),
        (["--things"], "^--things: expected a value$"),
        (["--threads", "0"], "^--threads: expected at least 1, got 0$"),
    ],
)
def test_words_that_mean_nothing(parser, words, match):
    with pytest.raises(MetapriorError, match=match):
        parser().parse(words)


def test_a_name_that_is_missing_or_misspelt(parser):
    with pytest.raises(MetapriorError, match="--things: expected a name; known: folder, long, waves"):
        parser(required=["things"]).parse([])
    with pytest.raises(UnknownNameError, match="did you mean 'waves'"):
        parser().parse(["--things", "wave"])
    made = parser()
    assert made.build(made.parse([]), "things") is None


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("- a\n- b\n", "^--config: expected options and values in"),
        ("a: [", "^--config: .* is not YAML"),
        ("steps: many", "^--steps: expected a whole number, got many$"),
        ("things: {name: waves, ways: [1]}", r"^--things.ways: expected a whole number, got \[1\]$"),
        ("stepz: 3", "^try: unknown option --stepz: did you mean --steps[?]$"),
    ],
)
def test_a_file_of_no_options(parser, tmp_path, text, match):
    (tmp_path / "options.yaml").write_text(text)
    with pytest.raises(MetapriorError, match=match):
        parser().parse(["--config", str(tmp_path / "options.yaml")])


SPECS = [
    TaskSpec("classification", (8,), 3, unknown=True),
    TaskSpec("classification", (512,), 2, pool=10),
    TaskSpec("regression", (512,), 1),
    TaskSpec("classification", (1, 16, 16), 5),
]


@pytest.mark.parametrize("name", [name for name in priors if not priors.resolve(name)[1]])
def test_defaults_of_options_leave_what_fits_the_tasks(name):
    cls = priors[name]
    parser = Parser("acquire", "", [PRIOR])
    given = parser.given(parser.parse(["--prior", name]), "prior")
    for spec in SPECS:
        if spec.kind not in cls.kinds or cls.needs_net is not None:
            continue
        fitting, built = (describe(cls.for_tasks(spec, **options)) for options in ({}, given))
        assert built == fitting
