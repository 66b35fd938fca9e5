"""Every data set tells what it holds, under which licence, and the sum of each file."""

from metaprior.datasets import DATASETS


def test_every_download_names_its_licence_and_a_sha256():
    for dataset in DATASETS.values():
        assert dataset.description
        assert dataset.licence
        for file in dataset.files.values():
            assert file.url.startswith("https://")
            assert len(file.sha256) == 64
            assert set(file.sha256) <= set("0123456789abcdef")


def test_a_file_is_stood_in_for_by_the_whole_or_a_part_and_not_by_itself():
    for dataset in DATASETS.values():
        for name, file in dataset.files.items():
            assert not {*file.whole} & {*file.part}
            assert name not in {*file.whole, *file.part}
