"""Names for classes: what the command line, the checkpoints and third-party packages refer to them by."""

import importlib.metadata
import inspect
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from metaprior.errors import MetapriorError, UnknownNameError

__all__ = ["Registry", "arguments", "build", "describe", "nets", "priors", "sources"]

Base = TypeVar("Base")


class Registry(Generic[Base]):
    """A table from names to classes of one kind, open to other packages through an entry-point group.

    A package adds a class by `priors.register("mine")` above it, and by an entry point in the group
    `metaprior.priors` that names the module, so that the class is found before the module is imported.

    Args:
        kind: what the entries are, for error messages and the entry-point group: "prior", "net", "source".

    Example:
        >>> animals = Registry("animal")
        >>> @animals.register("cat")
        ... class Cat: ...
        >>> animals["cat"].__name__, "dog" in animals
        ('Cat', False)
    """

    def __init__(self, kind: str):
        self.kind = kind
        self.group = f"metaprior.{kind}s"
        self._classes: dict[str, type[Base]] = {}
        self._presets: dict[str, tuple[str, dict[str, Any]]] = {}
        self._entry_points_loaded = False

    def register(self, name: str) -> Callable[[type[Base]], type[Base]]:
        """Return a class decorator that enters the class under `name`."""

        def enter(cls: type[Base]) -> type[Base]:
            if name in self._classes:
                raise MetapriorError(
                    f"{self.kind} '{name}' is registered already, by {self._classes[name].__qualname__}"
                )
            self._classes[name] = cls
            return cls

        return enter

    def preset(self, name: str, base: str, **arguments: Any) -> None:
        """Enter `name` for the class of `base` with some arguments given."""
        self._presets[name] = (base, arguments)

    def resolve(self, name: str) -> tuple[type[Base], dict[str, Any]]:
        """Return the class that `name` stands for and the arguments that the name implies.

        Raises:
            UnknownNameError: if the name is not registered; it suggests the nearest one.
        """
        self._load_entry_points()
        base, implied = self._presets.get(name, (name, {}))
        if base not in self._classes:
            raise UnknownNameError(self.kind, name, self)
        return self._classes[base], dict(implied)

    def name_of(self, cls: type) -> str | None:
        """Return the name that a class is registered under, or None."""
        return next((name for name, entry in self._classes.items() if entry is cls), None)

    def __getitem__(self, name: str) -> type[Base]:
        """Return the class that `name` stands for; `resolve` and `build` also know the arguments that it implies."""
        return self.resolve(name)[0]

    def __contains__(self, name: object) -> bool:
        self._load_entry_points()
        return name in self._classes or name in self._presets

    def __iter__(self) -> Iterator[str]:
        self._load_entry_points()
        return iter(sorted({*self._classes, *self._presets}))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _load_entry_points(self) -> None:
        if not self._entry_points_loaded:
            self._entry_points_loaded = True
            for point in importlib.metadata.entry_points(group=self.group):
                point.load()


priors: Registry[Any] = Registry("prior")
"""Every prior by name."""
nets: Registry[Any] = Registry("net")
"""Every network by name."""
sources: Registry[Any] = Registry("source")
"""Every task source by name."""


def arguments(instance: Any) -> dict[str, Any]:
    """Return the constructor arguments of an object that stores each under its own name, as every class here does.

    Raises:
        MetapriorError: if it does not.

    Example:
        >>> from metaprior.nets import MLP
        >>> arguments(MLP(inputs=1, outputs=1))["hidden"]
        (40, 40)
    """
    names = [name for name in inspect.signature(type(instance).__init__).parameters if name != "self"]
    if lost := [name for name in names if not hasattr(instance, name)]:
        raise MetapriorError(
            f"{type(instance).__qualname__}: expected its constructor's argument '{lost[0]}' stored as self.{lost[0]}"
        )
    return {name: getattr(instance, name) for name in names}


def describe(instance: Any) -> dict[str, Any]:
    """Return a JSON-ready description that `build` turns back into an equal object (weights apart).

    A nested object of an unregistered class is described by the name of its class alone, as `foreign`.

    Raises:
        MetapriorError: if the class of the object itself is not registered.
    """
    for registry in (priors, nets, sources):
        name = registry.name_of(type(instance))
        if name is not None:
            return {
                registry.kind: name,
                "arguments": {key: _plain(value) for key, value in arguments(instance).items()},
            }
    raise MetapriorError(
        f"{type(instance).__qualname__} is not registered, so a checkpoint could not rebuild it: "
        "put @metaprior.registry.priors.register('a-name') above the class"
    )


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if any(registry.name_of(type(value)) for registry in (priors, nets, sources)):
        return describe(value)
    return {"foreign": f"{type(value).__module__}.{type(value).__qualname__}"}


def build(description: dict[str, Any]) -> Any:
    """Build what `describe` described; only registered names can be used, and one implies its arguments unless given.

    Example:
        >>> from metaprior.nets import MLP
        >>> build(describe(MLP(inputs=3, outputs=2))).outputs
        2
    """
    for registry in (priors, nets, sources):
        if registry.kind in description:
            cls, implied = registry.resolve(description[registry.kind])
            given = {key: _built(value) for key, value in description["arguments"].items()}
            return cls(**{**implied, **given})
    raise MetapriorError(f"expected a description with 'prior', 'net' or 'source', got the keys {sorted(description)}")


def _built(value: Any) -> Any:
    if isinstance(value, dict) and "arguments" in value:
        return build(value)
    if isinstance(value, dict):
        return {key: _built(item) for key, item in value.items()}
    return tuple(_built(item) for item in value) if isinstance(value, list) else value
