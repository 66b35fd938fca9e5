"""A file is written whole or not at all, whatever goes wrong on the way."""

import errno
import os

import pytest
import torch
from safetensors.torch import load_file

from metaprior import files
from metaprior.errors import DataError


def full_disk(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


class FullFile:
    """A file whose disk is full after the first bytes."""

    def __init__(self, path, mode):
        self.file = open(path, mode)  # noqa: SIM115

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, content):
        self.file.write(content[: len(content) // 2])
        self.file.flush()
        full_disk()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_holds_what_was_written_and_folders_are_made(tmp_path):
    path = tmp_path / "a" / "b" / "note.txt"
    files.write_text(path, "größer\n")
    assert path.read_bytes() == "größer\n".encode()
    assert names(path.parent) == ["note.txt"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_where_nothing_can_be_written_is_told_by_the_name_that_was_given(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "note.txt", tmp_path / ("n" * 300)):
        with pytest.raises(DataError, match=r"^turntable: .* cannot be written: "):
            files.check_writable(path, "turntable")
        with pytest.raises(OSError, match=path.name) as raised:
            files.write_text(path, "lost")
        assert raised.value.filename == str(path)
        assert str(raised.value).endswith(f"'{path}'")
    files.check_writable(tmp_path / "file")
    assert names(tmp_path) == ["file"]


def test_an_old_file_is_replaced(tmp_path):
    path = tmp_path / "weights.bin"
    files.write_bytes(path, b"old content that is longer")
    files.write_bytes(path, b"new")
    assert path.read_bytes() == b"new"


def test_tensors_return_as_they_were_also_those_that_are_views(tmp_path):
    path = tmp_path / "t.safetensors"
    stored = {"a": torch.arange(6).view(2, 3).T, "b": torch.ones(())}
    files.write_tensors(path, stored, {"kind": "test"})
    loaded = load_file(path)
    assert loaded.keys() == stored.keys()
    assert all(torch.equal(loaded[name], stored[name]) for name in stored)


@pytest.mark.parametrize("write", [files.write_bytes, files.write_text, files.write_tensors])
def test_a_disk_that_fills_while_writing_leaves_the_old_file_whole(tmp_path, monkeypatch, write):
    path = tmp_path / "state"
    content = {files.write_bytes: b"123456", files.write_text: "123456"}.get(write, {"a": torch.zeros(3)})
    write(path, content)
    before = path.read_bytes()
    monkeypatch.setattr(files, "open", FullFile, raising=False)
    with pytest.raises(OSError, match="No space left"):
        write(path, content)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert names(tmp_path) == ["state"], "the half-written file is removed"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_after_writing_leaves_the_old_file_whole(tmp_path, monkeypatch, step):
    path = tmp_path / "state"
    files.write_bytes(path, b"old")
    monkeypatch.setattr(os, step, full_disk)
    with pytest.raises(OSError, match="No space left"):
        files.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["state"]


def test_nothing_appears_where_there_was_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        files.write_text(tmp_path / "card.json", "{}")
    assert names(tmp_path) == []


def test_an_interrupt_in_the_body_of_replacing_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "curve.png"
    files.write_bytes(path, b"old")

    def draw():
        with files.replacing(path) as temporary:
            temporary.write_bytes(b"ha")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["curve.png"]


def test_the_temporary_file_keeps_the_suffix_that_picture_writers_look_at(tmp_path):
    with files.replacing(tmp_path / "curve.png") as temporary:
        assert temporary.suffix == ".png"
        assert temporary.parent == tmp_path
        temporary.write_bytes(b"picture")
