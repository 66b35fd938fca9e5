"""Turn words of the command line into objects: a registered name chooses a class, whose signature gives the options."""

import difflib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace

from metaprior.errors import MetapriorError
from metaprior.registry import Registry

__all__ = ["Choice", "Parser"]


_EXPECTED = re.compile(r"Expected an? (?:<class '(?:\w+\.)*(\w+)'>|typing\.Literal\[(.*?)\]|tuple with (\d+) elements)")
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "tuple": "a list",
    "list": "a list",
    "Sequence": "a list",
    "NoneType": "null",
}


class Choice:
    """A class chosen by name, as in `--tasks omniglot --tasks.ways 20`.

    Args:
        key: the option, "tasks".
        registry: of the names.
        skip: constructor arguments that are not for the user to give.
        shorthand: constructor arguments by the name after which a colon may give them, as in `images:FOLDER`.
    """

    def __init__(
        self, key: str, registry: Registry[Any], skip: Sequence[str] = (), shorthand: dict[str, str] | None = None
    ):
        self.key = key
        self.registry = registry
        self.skip = set(skip)
        self.shorthand = shorthand or {}


class Parser:
    """Options of one command: those of a function, those of chosen classes, and a file that may give any of them.

    Args:
        command: its name.
        description: for the help.
        choices: classes to be chosen by name.
        required: keys of the choices that must be made.
    """

    def __init__(self, command: str, description: str, choices: Sequence[Choice] = (), required: Sequence[str] = ()):
        self.command = command
        self.choices = {choice.key: choice for choice in choices}
        self.required = required
        chosen = "".join(
            f" --{choice.key} is one of {', '.join(choice.registry)}; --{choice.key} NAME --help shows its options."
            for choice in choices
        )
        self.options = ArgumentParser(
            prog=f"metaprior {command}", description=description + chosen, exit_on_error=False
        )
        self.options.add_argument("--config", type=str, help="a YAML file of options, as saved with every run")
        self.options.add_argument(
            "--threads", type=int | None, default=None, help="CPU threads; None for torch's choice"
        )
        self.names: dict[str, str] = {}

    def parse(self, words: Sequence[str], defaults: dict[str, Any] | None = None) -> Namespace:
        """Return the values of all options.

        Args:
            words: of the command line.
            defaults: what a file of options would say, for where neither the words nor a file do.

        Raises:
            MetapriorError: for an option that does not exist or a value of the wrong type.
        """
        words = [_underscored(word) for word in words]
        config = (defaults or {}) | self._read_config(words)
        for choice in self.choices.values():
            self._choose(choice, words, config)
        asked_for_help = "-h" in words or "--help" in words
        if not asked_for_help:
            self.demand(*self.required)
        try:
            # What a file says is read as words are, so that it is checked as they are; later words win.
            parsed = self.options.parse_args([*_as_words(config), *self._with_true(words)])
        except ArgumentError as error:
            raise MetapriorError(self._sentence(" ".join(str(error).split()))) from error
        if parsed.threads is not None:
            if parsed.threads < 1:
                raise MetapriorError(f"--threads: expected at least 1, got {parsed.threads}")
            torch.set_num_threads(parsed.threads)
        return parsed

    def demand(self, *keys: str) -> None:
        """Raise MetapriorError, which lists the names, unless a class was chosen for each key."""
        for key in keys:
            if key not in self.names:
                raise MetapriorError(f"--{key}: expected a name; known: {', '.join(self.choices[key].registry)}")

    def build(self, parsed: Namespace, key: str) -> Any:
        """Build the object that was chosen for `key`; None if none was."""
        if key not in self.names:
            return None
        cls = self.choices[key].registry[self.names[key]]
        return cls(**self.given(parsed, key))

    def given(self, parsed: Namespace, key: str) -> dict[str, Any]:
        """Return the constructor arguments that were given for `key`, or their defaults."""
        return vars(parsed[key]) if key in self.names and parsed.get(key) is not None else {}

    @staticmethod
    def named(words: Sequence[str], key: str) -> bool:
        """Whether an option, or one of those below it, is among the words of the command line."""
        return any(re.match(rf"--{re.escape(key)}([.=]|$)", word) for word in words)

    def resolved(self, parsed: Namespace) -> str:
        """Return the values of all options as YAML, so that `--config` repeats the run."""
        values = parsed.clone().as_dict()
        values.pop("config", None)
        for key, name in self.names.items():
            values[key] = {"name": name, **(values.get(key) or {})}
        return yaml.safe_dump(_plain(values), sort_keys=False)

    def _sentence(self, error: str) -> str:
        """Say in one sentence what jsonargparse says of a wrong option or value."""
        if wrong := re.fullmatch(r"(?:Parser|Config) key \"(.+?)\": (.*) (?:Got value|Given value): (.*)", error):
            key, told, got = wrong.groups()
            expected = dict.fromkeys(_expected(*found) for found in _EXPECTED.findall(told))
            if expected:
                return f"--{key}: expected {' or '.join(expected)}, got {got}"
        if unknown := re.fullmatch(r"unrecognized arguments: (--[^ =]+).*", error):
            known = (option for action in self.options._actions for option in action.option_strings)
            close = difflib.get_close_matches(unknown[1], list(known), n=1, cutoff=0.8)
            return f"{self.command}: unknown option {unknown[1]}{f': did you mean {close[0]}?' if close else ''}"
        return f"{self.command}: {error}"

    def _with_true(self, words: list[str]) -> list[str]:
        """Let `--resume` stand for `--resume true`, and likewise every option that is true or false."""
        switches = {f"--{key}" for key, value in self.options.get_defaults().items() if isinstance(value, bool)}
        switches |= {f"--{one.dest}" for one in self.options._actions if getattr(one, "_typehint", None) == bool | None}
        following = [*words[1:], "--"][: len(words)]
        return [
            f"{word}=true" if word in switches and after.startswith("-") else word
            for word, after in zip(words, following, strict=True)
        ]

    def _read_config(self, words: list[str]) -> dict[str, Any]:
        path = _pop(words, "--config")
        if path is None:
            return {}
        try:
            config = yaml.safe_load(Path(path).read_text())
        except yaml.YAMLError as error:
            raise MetapriorError(f"--config: {path} is not YAML: {' '.join(str(error).split())}") from error
        except OSError as error:
            raise MetapriorError(f"--config: {path} cannot be read: {error.strerror}") from error
        if not isinstance(config, dict):
            raise MetapriorError(f"--config: expected options and values in {path}, got {type(config).__name__}")
        return config

    def _choose(self, choice: Choice, words: list[str], config: dict[str, Any]) -> None:
        settings = config.get(choice.key)
        settings = {"name": settings} if isinstance(settings, str) else dict(settings or {})
        chosen, known = _pop(words, f"--{choice.key}"), settings.pop("name", None)
        if chosen is not None and chosen != known:
            settings = {}
        # Files of earlier versions may say what is now told from the tasks.
        settings = {key: value for key, value in settings.items() if key not in choice.skip}
        name = chosen or known
        config.pop(choice.key, None)
        if name is None:
            return
        name, _, argument = name.partition(":")
        cls, implied = choice.registry.resolve(name)
        if argument:
            if name not in choice.shorthand:
                raise MetapriorError(f"--{choice.key}: '{name}' takes nothing after a colon, got '{argument}'")
            implied[choice.shorthand[name]] = argument
        self.names[choice.key] = name
        self.options.add_class_arguments(cls, choice.key, skip=choice.skip, instantiate=False, sub_configs=False)
        self.options.set_defaults({f"{choice.key}.{key}": value for key, value in implied.items()})
        config[choice.key] = settings


def _expected(kind: str, words: str, length: str) -> str:
    return f"one of {words}" if words else f"a list of {length}" if length else _WORDS.get(kind, kind)


def _underscored(word: str) -> str:
    """Let `--skip-bad` stand for `--skip_bad`."""
    option, equals, value = word.partition("=")
    return option[:2] + option[2:].replace("-", "_") + equals + value if option.startswith("--") else word


def _pop(words: list[str], option: str) -> str | None:
    """Take `--option VALUE` or `--option=VALUE` out of the words and return the value."""
    for index, word in enumerate(words):
        if word == option:
            if index + 1 == len(words):
                raise MetapriorError(f"{option}: expected a value")
            value = words[index + 1]
            del words[index : index + 2]
            return value
        if word.startswith(option + "="):
            del words[index]
            return word.split("=", 1)[1]
    return None


def _as_words(config: dict[str, Any], prefix: str = "--") -> list[str]:
    words = []
    for key, value in config.items():
        if isinstance(value, dict):
            words += _as_words(value, f"{prefix}{key}.")
        else:
            words.append(f"{prefix}{key}={value if isinstance(value, str) else json.dumps(value)}")
    return words


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
