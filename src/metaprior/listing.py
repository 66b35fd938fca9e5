"""What there is to choose from, by name."""

import inspect
from typing import Literal

from metaprior.checkpoint import zoo
from metaprior.errors import UnknownNameError
from metaprior.registry import nets, priors, sources

__all__ = ["listing"]

_REGISTRIES = {"priors": priors, "nets": nets, "tasks": sources}


def listing(what: Literal["all", "priors", "nets", "tasks", "zoo"] = "all") -> dict[str, dict[str, str]]:
    """Return names and what each stands for, by kind; it is `metaprior.list`.

    Args:
        what: one kind, or all of them.

    Raises:
        UnknownNameError: if there is no such kind.

    Example:
        >>> listing("nets")["nets"]["mlp"]
        'Linear layers with rectifiers between them; inputs of any shape are flattened.'
    """
    kinds = (*_REGISTRIES, "zoo")
    if what not in (*kinds, "all"):
        raise UnknownNameError("list", what, (*kinds, "all"))
    return {kind: _entries(kind) for kind in kinds if what in (kind, "all")}


def _entries(kind: str) -> dict[str, str]:
    if kind == "zoo":
        return {f"zoo:{name}": str(card.get("score", "not scored")) for name, card in zoo().items()}
    return {name: _summary(*_REGISTRIES[kind].resolve(name)) for name in _REGISTRIES[kind]}


def _summary(cls: type, implied: dict[str, object]) -> str:
    settings = ", ".join(f"{key}={value!r}" for key, value in implied.items())
    summary = (inspect.getdoc(cls) or "").splitlines()[0]
    return f"{cls.__name__} with {settings}. {summary}" if settings else summary
