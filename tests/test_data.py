"""Where data sets are looked for, how they are downloaded, and what is kept in the cache. No test uses the network."""

import sys
from pathlib import Path

import pytest
import torch

from metaprior import data
from metaprior.errors import DataError, MetapriorError, UnknownNameError


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """Empty folders for data and cache."""
    monkeypatch.setenv("METAPRIOR_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("METAPRIOR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "data", tmp_path / "cache"


def put(folder: Path, name: str, content: bytes = b"content") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_file_is_found_in_the_data_folder_before_the_cache(folders):
    given, cache = folders
    assert data.find("omniglot", "a.zip") is None
    cached = put(cache, "omniglot/a.zip")
    assert data.find("omniglot", "a.zip") == cached
    own = put(given, "omniglot/a.zip")
    assert data.find("omniglot", "a.zip") == own
    assert data.find("omniglot", "missing.npz", "a.zip") == own, "the first name that is there"


def test_the_data_folder_need_not_be_set(folders, monkeypatch):
    monkeypatch.delenv("METAPRIOR_DATA")
    cached = put(folders[1], "omniglot/a.zip")
    assert data.find("omniglot", "a.zip") == cached


def test_a_missing_file_is_answered_by_the_command_that_gets_it(folders):
    with pytest.raises(DataError, match=r"a.zip is neither under .* run 'metaprior data get omniglot'"):
        data.need("omniglot", "a.zip", "b.zip")
    path = put(folders[0], "omniglot/b.zip")
    assert data.need("omniglot", "a.zip", "b.zip") == path


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/metaprior"),
        ("linux", {"HOME": "/home/a"}, "/home/a/.cache/metaprior"),
        ("darwin", {"HOME": "/Users/a"}, "/Users/a/Library/Caches/metaprior"),
        ("win32", {"LOCALAPPDATA": "/l"}, "/l/metaprior"),
        ("win32", {"METAPRIOR_CACHE": "/own"}, "/own"),
    ],
)
def test_the_cache_is_the_platforms_unless_it_is_named(monkeypatch, platform, variables, expected):
    for name in ("METAPRIOR_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert data.cache_folder() == Path(expected)


def test_get_downloads_what_is_missing_with_its_sum(folders, monkeypatch):
    import pooch

    asked = []

    def retrieve(url, known_hash, fname, path):
        asked.append((url, known_hash))
        return str(put(Path(path), fname))

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    here = put(folders[0], "omniglot/images_background.zip")
    paths = data.get("omniglot")
    file = data.DATASETS["omniglot"].files["images_evaluation.zip"]
    assert asked == [(file.url, f"sha256:{file.sha256}")]
    assert paths == [here, folders[1] / "omniglot" / "images_evaluation.zip"]
    assert data.get("omniglot") == paths
    assert len(asked) == 1, "what is here is not downloaded again"


def test_what_was_packed_by_hand_is_not_downloaded(folders, monkeypatch):
    import pooch

    monkeypatch.setattr(pooch, "retrieve", lambda *_, **__: pytest.fail("tried to download it"))
    listed = {entry.name: str(entry) for entry in data.listing()}["dsb2018_nuclei"]
    assert "not here, put it under $METAPRIOR_DATA" in listed
    assert "packed from https://" in listed
    with pytest.raises(DataError, match=r"was packed from https://.* and cannot be downloaded: put it into"):
        data.get("dsb2018_nuclei")
    path = put(folders[0], "dsb2018_nuclei/dsb2018_stage1_subset.zip")
    assert data.get("dsb2018_nuclei") == [path]


def test_get_takes_a_packed_copy_of_the_whole_but_not_a_part(folders, monkeypatch):
    import pooch

    asked = []
    monkeypatch.setattr(pooch, "retrieve", lambda url, *_, **__: asked.append(url) or "somewhere")
    for half in ("background", "evaluation"):
        put(folders[0], f"omniglot/images_{half}.npz")
    put(folders[0], "cifar100/cifar100_test_png.zip")
    data.get("omniglot")
    assert asked == []
    data.get("cifar100")
    assert len(asked) == 1


@pytest.mark.parametrize("error", [OSError("no route to host"), ValueError("SHA256 hash of downloaded file differs")])
def test_a_failed_or_wrong_download_is_one_clear_error(monkeypatch, error):
    import pooch

    def retrieve(*_, **__):
        raise error

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    with pytest.raises(DataError, match=rf"cifar100: downloading https://.*tar.gz failed: {error}"):
        data.get("cifar100")


def test_a_missing_pooch_is_answered_by_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(MetapriorError, match=r'pip install "metaprior\[vision\]"'):
        data.get("omniglot")


@pytest.mark.parametrize("function", [data.get, data.paths])
def test_an_unknown_data_set_is_answered_by_the_nearest_name(function):
    with pytest.raises(UnknownNameError, match="unknown data set 'omniglto': did you mean 'omniglot'"):
        function("omniglto")


def test_the_listing_tells_what_is_here_whole_or_in_part(folders):
    entries = {entry.name: entry for entry in data.listing()}
    assert entries.keys() == data.DATASETS.keys()
    assert entries["glyphs"].complete, "nothing to download"
    assert not entries["omniglot"].complete
    assert "not here, get it by 'metaprior data get omniglot'" in str(entries["omniglot"])

    packed = [put(folders[0], f"omniglot/images_{half}.npz") for half in ("background", "evaluation")]
    part = put(folders[0], "cifar100/cifar100_test_png.zip")
    entries = {entry.name: entry for entry in data.listing()}
    assert entries["omniglot"].complete
    assert entries["omniglot"].paths == tuple(packed) == data.paths("omniglot")
    assert str(packed[0]) in str(entries["omniglot"])
    assert "MIT" in str(entries["omniglot"])
    assert not entries["cifar100"].complete
    assert data.paths("cifar100") == (part,)
    assert "a part is here" in str(entries["cifar100"])

    whole = put(folders[1], "cifar100/cifar-100-binary.tar.gz")
    assert {entry.name: entry for entry in data.listing()}["cifar100"].complete
    assert data.paths("cifar100") == (whole,)


def test_paths_of_what_is_not_here_is_an_error():
    with pytest.raises(DataError, match="run 'metaprior data get cifar100'"):
        data.paths("cifar100")
    with pytest.raises(DataError, match="glyphs: has no files"):
        data.paths("glyphs")


def test_computed_tensors_are_computed_once(folders):
    calls = []

    def compute():
        calls.append(1)
        return {"images": torch.arange(3)}

    for _ in range(2):
        assert torch.equal(data.cached("thing-v1", compute)["images"], torch.arange(3))
    assert len(calls) == 1
    assert (folders[1] / "thing-v1.safetensors").is_file()
    data.cached("thing-v2", compute)
    assert len(calls) == 2, "another name is another entry"


@pytest.mark.parametrize("damage", [b"", b"not safetensors at all", None])
def test_a_damaged_cache_entry_is_computed_again(folders, damage):
    data.cached("thing", lambda: {"a": torch.ones(100)})
    path = folders[1] / "thing.safetensors"
    path.write_bytes(path.read_bytes()[:-7] if damage is None else damage)
    assert torch.equal(data.cached("thing", lambda: {"a": torch.zeros(2)})["a"], torch.zeros(2))
    assert torch.equal(data.cached("thing", dict)["a"], torch.zeros(2)), "and kept"


def test_a_full_disk_costs_the_cache_but_not_the_result(folders, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(data, "write_tensors", full)
    assert torch.equal(data.cached("thing", lambda: {"a": torch.ones(2)})["a"], torch.ones(2))
    assert "No space left on device" in capsys.readouterr().err
    assert not (folders[1] / "thing.safetensors").exists()
