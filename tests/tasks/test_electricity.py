"""The electricity stream: windows of one split each, standardised by the training rows, disguised in training alone."""

import gzip

import pytest
import torch

from metaprior import data
from metaprior.errors import DataError
from metaprior.registry import build, describe
from metaprior.tasks import Electricity, Streams

pytestmark = pytest.mark.skipif(
    data.find("streams", "electricity.csv", "electricity.csv.gz") is None, reason="no electricity data"
)
SIZES = {"train": 27187, "valid": 9062, "test": 9063}


def draw(source, split="train", tasks=5):
    return source.sample(tasks, torch.Generator().manual_seed(0), split)


def test_rows_are_dealt_by_time_and_standardised_by_training():
    source = Electricity(limit=1e6)
    assert {split: len(source.rows(split)[0]) for split in SIZES} == SIZES
    x, y = source.rows("train")
    torch.testing.assert_close(x.mean(0), torch.zeros(6), atol=1e-4, rtol=0)
    torch.testing.assert_close(x.std(0), torch.ones(6), atol=1e-4, rtol=0)
    rises = sum(int(source.rows(split)[1].sum()) for split in SIZES)
    assert (rises, y.dtype) == (19237, torch.int64)


def test_outliers_are_put_at_the_limit():
    free, limited = Electricity(limit=1e6), Electricity(limit=3.0)
    for split in SIZES:
        assert torch.equal(limited.rows(split)[0], free.rows(split)[0].clamp(-3, 3))


def test_the_day_goes_on_from_split_to_split():
    # The first feature is the time of day: 48 rows from midnight to midnight, whatever split a row is of.
    clock = torch.cat([Electricity().rows(split)[0][:, 0] for split in SIZES])
    assert (clock.argsort()[:944] % 48 == 0).all()
    torch.testing.assert_close(clock[48:], clock[:-48], atol=1e-4, rtol=0)


@pytest.mark.parametrize("split", SIZES)
def test_a_window_is_of_consecutive_rows_of_its_split(split):
    source = Electricity(length=50)
    x, y = source.rows(split)
    stream = draw(source, split)
    assert stream.examples.x.shape == (5, 50, 6)
    for part, labels in zip(stream.examples.x, stream.examples.y, strict=True):
        first = int((x == part[0]).all(1).nonzero()[0])
        assert torch.equal(x[first : first + 50], part)
        assert torch.equal(y[first : first + 50], labels)


def test_without_a_length_a_split_is_one_stream():
    stream = draw(Electricity(length=None), "test", tasks=1)
    assert stream.steps == SIZES["test"]
    assert torch.equal(stream.examples.y[0], Electricity().rows("test")[1])


@pytest.mark.parametrize(
    "disguise", [{"flip": 0.5}, {"jitter": 0.3}, {"permute": True}], ids=["flip", "jitter", "permute"]
)
def test_training_streams_are_disguised_and_others_never(disguise):
    plain, disguised = Electricity(length=20), Electricity(length=20, **disguise)
    for split in ("valid", "test"):
        assert torch.equal(draw(disguised, split).examples.x, draw(plain, split).examples.x)
        assert torch.equal(draw(disguised, split).examples.y, draw(plain, split).examples.y)
    own, other = draw(disguised, tasks=40).examples, draw(plain, tasks=40).examples
    changed = (own.y != other.y).float().mean(1)
    if "flip" in disguise:
        assert set(changed.tolist()) == {0.0, 1.0}
        assert torch.equal(own.x, other.x)
        return
    assert not changed.any()
    if "permute" in disguise:
        torch.testing.assert_close(own.x.sort(-1).values, other.x.sort(-1).values)
    else:
        # One map for all steps of a stream: the times of day are in the order in which they were.
        assert torch.equal(own.x[..., 0].argsort(1), other.x[..., 0].argsort(1))
    assert not torch.equal(own.x, other.x)


def test_labels_can_be_late_and_the_card_rebuilds_it():
    source = Electricity(length=30, fractions=(0.5, 0.25, 0.25), flip=0.5)
    assert describe(build(describe(source))) == describe(source)
    assert Streams(source, delay=4).sample(2, torch.Generator()).delay == 4
    assert len(source.rows("train")[0]) == 22656


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"length": 0}, "length: expected a positive number, got 0"),
        (
            {"fractions": (0.5, 0.5, 0.0)},
            r"fractions: expected three positive ones that add up to 1, got \(0.5, 0.5, 0.0\)",
        ),
        ({"limit": 0.0}, "limit: expected a positive number, got 0.0"),
        ({"flip": 2.0}, "flip: expected a probability, got 2.0"),
        ({"jitter": -1.0}, "jitter: expected a standard deviation of 0 or more, got -1.0"),
    ],
)
def test_what_cannot_be_is_refused(settings, sentence):
    with pytest.raises(DataError, match=sentence):
        Electricity(**settings)


def test_a_window_longer_than_its_split_is_refused():
    with pytest.raises(DataError, match="length: expected at most 9063, the rows of the test split, got 10000"):
        draw(Electricity(length=10000), "test")


def test_the_csv_may_be_packed_or_not_and_must_be_the_one(tmp_path, monkeypatch):
    packed = data.find("streams", "electricity.csv.gz", "electricity.csv")
    monkeypatch.setenv("METAPRIOR_DATA", str(tmp_path))
    monkeypatch.setenv("METAPRIOR_CACHE", str(tmp_path / "cache"))
    with pytest.raises(DataError, match="run 'metaprior data get streams'"):
        Electricity().rows("train")
    (tmp_path / "streams").mkdir()
    plain = tmp_path / "streams" / "electricity.csv"
    plain.write_bytes(gzip.decompress(packed.read_bytes()) if packed.suffix == ".gz" else packed.read_bytes())
    assert len(Electricity().rows("train")[0]) == SIZES["train"]
    plain.write_text("period,price\n0,1\n")
    with pytest.raises(DataError, match=r"expected the columns period, nswprice, .*, class; got period, price"):
        Electricity().rows("train")
