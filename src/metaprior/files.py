"""Writing files so that a reader sees the old content or the new, never a part of it."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from metaprior.errors import DataError

__all__ = ["check_writable", "replacing", "write_bytes", "write_tensors", "write_text"]

_SHOWN = 32
"""Letters of a file's name that a temporary one begins with: with more, it might be too long for the file system."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place if nothing fails, and is removed otherwise.

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> with replacing(folder / "a.txt") as temporary:
        ...     _ = temporary.write_text("all of it")
        >>> (folder / "a.txt").read_text()
        'all of it'
    """
    temporary = _beside(path)
    try:
        yield temporary
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except OSError as error:
        # A full disk is reported without saying which file did not fit; and nobody has heard of the temporary one.
        if error.errno is not None and error.filename in (None, str(temporary)):
            raise type(error)(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: str | Path, argument: str = "out") -> None:
    """Raise DataError unless a file can be written at a path: before the work, rather than after it.

    The folders on the way to it are made.

    Args:
        path: of the file.
        argument: the name by which the user gave it.

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> check_writable(folder / "new" / "a.txt")
        >>> check_writable(folder / "new")
        Traceback (most recent call last):
        metaprior.errors.DataError: out: ...new is a folder; expected the name of a file
    """
    if os.path.isdir(Path(path)):
        raise DataError(f"{argument}: {path} is a folder; expected the name of a file")
    try:
        _beside(Path(path)).unlink()
        with contextlib.suppress(FileNotFoundError):
            os.lstat(path)  # a name may be too long
    except OSError as error:
        raise DataError(f"{argument}: {path} cannot be written: {error.strerror}") from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole, and durably, or leave what was there."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_text(path: Path, content: str) -> None:
    """Write a text file whole or leave what was there."""
    write_bytes(path, content.encode())


def write_tensors(path: Path, named: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file whole or leave what was there; tensors that share memory are written apart."""
    storages: set[int] = set()
    apart = {}
    for name, tensor in named.items():
        storage = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.contiguous().clone() if storage in storages else tensor.contiguous()
        storages.add(storage)
    write_bytes(path, save(apart, metadata))


def _beside(path: Path) -> Path:
    """Return a new, empty file in the folder of a path."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:_SHOWN]}.", suffix=path.suffix)
    except (FileExistsError, NotADirectoryError) as error:
        raise NotADirectoryError(errno.ENOTDIR, "A folder on the way to it is a file", str(path)) from error
    except OSError as error:
        error.filename = str(path)
        raise
    os.close(descriptor)
    return Path(name)
