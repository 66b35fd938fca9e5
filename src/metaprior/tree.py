"""Nested values (dicts, tuples, named tuples, registered dataclasses) of tensors that share their leading axes."""

import hashlib
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from metaprior.errors import UnknownNameError

__all__ = ["Tree", "concatenate", "fingerprint", "map_chunks", "map_tensors", "nbytes", "pack", "tensors", "unpack"]

Tree: TypeAlias = Any
"""A tensor, or a dict, tuple or named tuple of trees; `None` stands for an absent part."""


def tensors(tree: Tree) -> list[Tensor]:
    """Return the tensors of a tree, in a fixed order.

    Example:
        >>> len(tensors({"a": torch.zeros(2), "b": (torch.ones(1), None)}))
        2
    """
    if isinstance(tree, Tensor):
        return [tree]
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


def map_tensors(function: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """Apply a function to each tensor of a tree (and to its counterparts in the others); other leaves stay.

    Example:
        >>> map_tensors(lambda a: a + 1, {"a": torch.zeros(1), "b": None})
        {'a': tensor([1.]), 'b': None}
    """
    if isinstance(tree, Tensor):
        return function(tree, *others)
    return pytree.tree_map(
        lambda leaf, *rest: function(leaf, *rest) if isinstance(leaf, Tensor) else leaf, tree, *others
    )


def concatenate(trees: list[Tree]) -> Tree:
    """Concatenate trees of one structure along their leading axis."""
    if len(trees) == 1:
        return trees[0]
    return map_tensors(lambda *parts: torch.cat(parts), *trees)


def map_chunks(function: Callable[..., Tree], chunk: int | None, *trees: Tree) -> Tree:
    """Apply `function` to at most `chunk` tasks at a time and concatenate what it returns.

    Args:
        function: takes as many trees as are given and returns a tree; its result for a task must not depend on others.
        chunk: the largest number of tasks in one call; None passes all of them at once.
        trees: trees with one leading task axis T.

    Example:
        >>> map_chunks(lambda a: a * 2, 2, torch.arange(5))
        tensor([0, 2, 4, 6, 8])
    """
    tasks = tensors(trees)[0].shape[0]
    if chunk is None or chunk >= tasks:
        return function(*trees)
    return concatenate(
        [
            function(*map_tensors(lambda leaf, start=start, end=start + chunk: leaf[start:end], trees))
            for start in range(0, tasks, chunk)
        ]
    )


def nbytes(tree: Tree) -> int:
    """Return the bytes that the values of a tree take (an expanded axis counts in full)."""
    return sum(leaf.numel() * leaf.element_size() for leaf in tensors(tree))


def fingerprint(*trees: Tree) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of the shapes, dtypes and values of trees, integers among them.

    Example:
        >>> fingerprint(torch.zeros(2)) == fingerprint(torch.zeros(2)) != fingerprint(torch.zeros(3))
        True
    """
    digest = hashlib.sha256()
    for leaf in pytree.tree_leaves(trees):
        if isinstance(leaf, int):
            digest.update(str(leaf).encode())
        if not isinstance(leaf, Tensor):
            continue
        digest.update(f"{leaf.dtype}{tuple(leaf.shape)}".encode())
        digest.update(leaf.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def pack(tree: Tree, name: str = "state") -> tuple[dict[str, Tensor], Any]:
    """Split a tree into named tensors and a JSON description of its structure; `unpack` is the inverse.

    Example:
        >>> named, structure = pack({"a": torch.zeros(2)})
        >>> list(named), unpack(named, structure)
        (['state.a'], {'a': tensor([0., 0.])})
    """
    if tree is None:
        return {}, None
    if isinstance(tree, Tensor):
        return {name: tree.detach().cpu().contiguous()}, name
    if isinstance(tree, dict):
        if not all(isinstance(key, str) for key in tree):
            raise TypeError(f"state: {name} has the keys {list(tree)}; expected tensors in dicts with strings for keys")
        fields, kind = tree, "dict"
    elif isinstance(tree, tuple):
        keys = getattr(tree, "_fields", None) or [str(index) for index in range(len(tree))]
        fields, kind = dict(zip(keys, tree, strict=True)), type(tree).__name__
    else:
        raise TypeError(f"state: {name} is a {type(tree).__name__}; expected tensors in dicts, tuples or named tuples")
    # Dots inside keys are escaped, so that the parts of {"a.b": x, "a": {"b": y}} have two names.
    escape = str.maketrans({".": "\\.", "\\": "\\\\"})
    packed = {key: pack(value, f"{name}.{key.translate(escape)}") for key, value in fields.items()}
    named = {full: tensor for part, _ in packed.values() for full, tensor in part.items()}
    return named, {"kind": kind, "fields": {key: structure for key, (_, structure) in packed.items()}}


def unpack(named: dict[str, Tensor], structure: Any, classes: tuple[type, ...] = ()) -> Tree:
    """Rebuild a tree from `pack`'s two results; `classes` are the named tuples that may occur in it.

    Raises:
        UnknownNameError: if another named tuple occurs.
    """
    if structure is None:
        return None
    if isinstance(structure, str):
        return named[structure]
    fields = {key: unpack(named, part, classes) for key, part in structure["fields"].items()}
    if structure["kind"] == "dict":
        return fields
    if structure["kind"] == "tuple":
        return tuple(fields.values())
    known = {cls.__name__: cls for cls in classes}
    if structure["kind"] not in known:
        raise UnknownNameError("part of a state", structure["kind"], known)
    return known[structure["kind"]](**fields)
