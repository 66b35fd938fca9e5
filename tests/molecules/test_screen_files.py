"""What a screen reads: values of which more is better, each structure once."""

import numpy as np
import pytest
import torch

from metaprior.errors import DataError
from metaprior.molecules import NCI
from metaprior.molecules.screen_files import Given

pytest.importorskip("rdkit")


@pytest.fixture(scope="module")
def inputs():
    return NCI(molecules=40, kind="regression", featuriser={"name": "morgan", "size": 16}).inputs


def given(inputs, minimise=False, **target) -> Given:
    return Given({**inputs, "target": target or None}, None, "ki", minimise, skip_bad=False, about=None)


def test_more_is_better_and_comes_back_as_it_was(inputs, tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("smiles,ki,relation\nCCO,10,=\nCCC,1000,>\nCCN,,=\n")
    with pytest.warns(UserWarning, match="measured: column 'ki': 1 of 2 values lie beyond a bound"):
        shelf = given(inputs, minimise=True, mean=3.4, scale=-1.3, logarithm=True).read(file, "measured", labelled=True)
    assert shelf.values.tolist() == [-1.0, -3.0]
    assert shelf.written == ["CCO", "CCC"]
    assert torch.cat(list(shelf.rows.split(10)), dim=1).shape == (1, 2, 16)
    reader = given(inputs, minimise=True, mean=3.4, scale=-1.3, logarithm=True)
    assert reader.fixed == (-3.4, 1.3)
    assert reader.back(np.array([-1.0, -3.0])).tolist() == [10.0, 1000.0]
    assert given(inputs).fixed is None


def test_what_was_measured_twice_is_one_measurement(inputs, tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("smiles,ki,plate\nCCO,1,a\nCCC,5,b\nOCC,3,c\nCCC,,d\n")
    with pytest.warns(UserWarning, match="measured: one structure has several labels .*median counts: rows 2, 4"):
        shelf = given(inputs).read(file, "measured", labelled=True)
    assert shelf.values.tolist() == [2.0, 5.0]
    assert shelf.frame["plate"].tolist() == ["a", "b"]
    together = torch.cat(list(shelf.rows.split(10)), dim=1)
    assert len(given(inputs).read(file, "library", labelled=False).written) == 4
    assert together.shape[1] == len(shelf.written) == 2


def test_words_are_no_values(inputs, tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("smiles,ki\nCCO,high\nCCC,low\n")
    with pytest.raises(DataError, match="library: column 'ki' has no number, but high, low; a screen is by values"):
        given(inputs).read(file, "library", labelled=False)
