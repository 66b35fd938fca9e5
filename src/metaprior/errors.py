"""The errors that a user can cause: each is one sentence that names the argument, what came and what was expected."""

import difflib
import re
from collections.abc import Iterable

__all__ = [
    "AcquireError",
    "CheckpointError",
    "DataError",
    "MetapriorError",
    "ShapeError",
    "UnknownNameError",
    "check_pattern",
    "check_positive",
    "missing",
]


class MetapriorError(Exception):
    """Base of every error that metaprior raises on purpose; the command line prints it and exits with 2."""


class ShapeError(MetapriorError, ValueError):
    """Two values disagree about an axis."""


class DataError(MetapriorError, ValueError):
    """A user's file, folder or table cannot be read as tasks."""


class CheckpointError(MetapriorError, ValueError):
    """A stored prior or state is damaged, foreign, or newer than this version."""


class AcquireError(MetapriorError, RuntimeError):
    """Acquisition cannot start or cannot go on; the last good checkpoint is kept."""


class UnknownNameError(MetapriorError, KeyError):
    """A name that no registry knows.

    Example:
        >>> print(UnknownNameError("prior", "mmal", ["maml", "reptile"]))
        unknown prior 'mmal': did you mean 'maml'? Known: maml, reptile
    """

    def __init__(self, what: str, name: str, known: Iterable[str]):
        known = sorted(known)
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        self.message = f"unknown {what} '{name}': {hint}Known: {', '.join(known)}"
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message


def check_positive(kind: type[MetapriorError] = MetapriorError, /, **numbers: float | None) -> None:
    """Raise an error of a kind, naming the argument, if a number is not positive; None passes.

    Example:
        >>> check_positive(steps=3, budget=None)
        >>> check_positive(steps=0)
        Traceback (most recent call last):
        metaprior.errors.MetapriorError: steps: expected a positive number, got 0
    """
    for name, number in numbers.items():
        if number is not None and not number > 0:
            raise kind(f"{name}: expected a positive number, got {number}")


def check_pattern(**patterns: str) -> None:
    """Raise an error, naming the argument, if a text is not a regular expression.

    Example:
        >>> check_pattern(adapted="(")
        Traceback (most recent call last):
        metaprior.errors.MetapriorError: adapted: expected a regular expression, got '(' (missing ), ...
    """
    for name, pattern in patterns.items():
        try:
            re.compile(pattern)
        except re.error as error:
            raise MetapriorError(f"{name}: expected a regular expression, got '{pattern}' ({error})") from error


def missing(package: str, extra: str, purpose: str) -> MetapriorError:
    """Return the error for an optional package that is not installed, with the command that installs it.

    Example:
        >>> print(missing("pandas", "tables", "reading a CSV"))
        reading a CSV needs the package 'pandas': pip install "metaprior[tables]"
    """
    return MetapriorError(f"{purpose} needs the package '{package}': pip install \"metaprior[{extra}]\"")
