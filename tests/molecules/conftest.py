"""Small data sets in the formats of the real ones."""

import bz2
import gzip
import random
import zipfile
from pathlib import Path

import pytest

from metaprior.molecules.amino_acids import ALPHABET


def sequence(draw: random.Random, least: int = 9, most: int = 14) -> str:
    return "".join(draw.choices(ALPHABET, k=draw.randint(least, most)))


def receptor(draw: random.Random) -> str:
    return f"CASS{sequence(draw, 4, 9)}F"


def write_titan(folder: Path, train: int = 20, test: int = 4, each: int = 12) -> None:
    """Write a fold of TITAN: each epitope has so many binders, and as many receptors of others.

    The first receptor of every training epitope has the CDR3 of one of the test.
    """
    draw = random.Random(0)
    epitopes = [sequence(draw, 9, 9) for _ in range(train + test)]
    receptors = [receptor(draw) for _ in epitopes for _ in range(each)]
    receptors[: train * each : each] = receptors[train * each : train * each + 1] * train
    files = {
        "epitopes.csv": "".join(f"{text}\t{at}\n" for at, text in enumerate(epitopes)),
        "tcr.csv": "".join(f"{text}\t{at}\n" for at, text in enumerate(receptors)),
        "tcr_full.csv": "".join(
            f"GAVVSQHPSWVICKSGTSVK{'IVLM'[at % 4]}ECRS{text}GPGTRLTVT\t{at}\n" for at, text in enumerate(receptors)
        ),
    }
    for split, chosen in (("train", range(train)), ("test", range(train, train + test))):
        lines = [",ligand_name,sequence_id,label"]
        for epitope in chosen:
            own = [epitope * each + at for at in range(each)]
            others = [other * each + at for other in chosen if other != epitope for at in range(each)]
            pairs = [(one, 1) for one in own] + [(one, 0) for one in draw.sample(others, each)]
            lines += [f"{len(lines) + at},{epitope},{one},{label}" for at, (one, label) in enumerate(pairs)]
        files[f"strict_split/fold0/{split}+covid.csv"] = "\n".join(lines) + "\n"
    (folder / "tcr_titan").mkdir()
    with zipfile.ZipFile(folder / "tcr_titan" / "titan_datasets.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def write_mhc(folder: Path, alleles: int = 20, each: int = 60) -> None:
    """Write affinities that grow with the number of leucines, and pseudosequences; the last two alleles share one."""
    draw = random.Random(0)
    names = [f"HLA-A*{at + 1:02}:01" for at in range(alleles)]
    pseudo = [sequence(draw, 34, 34) for _ in names]
    pseudo[-1] = pseudo[-2]
    peptides = [sequence(draw, 8, 11) for _ in range(3 * each)]
    head = "allele,peptide,measurement_value,measurement_inequality,measurement_type,measurement_source,original_allele"
    lines = [head]
    for name in names:
        for peptide in draw.sample(peptides, each):
            value = 20_000 / 10 ** min(4, peptide.count("L") + peptide.count("A"))
            lines.append(f"{name},{peptide},{value},=,quantitative,x,{name}")
        lines += [
            f"{name},{peptides[0]}AAAAAAAAA,5,=,quantitative,x,{name}",
            f"{name},LLLLLLLLL,5,<,qualitative,x,{name}",
        ]
    lines += ["HLA-B*07:01,LLLLLLLLL,10,=,quantitative,x,HLA-B7"] * 50
    (folder / "pmhc").mkdir()
    with bz2.open(folder / "pmhc" / "curated_training_data.no_mass_spec.csv.bz2", "wt") as file:
        file.write("\n".join(lines) + "\n")
    with gzip.open(folder / "pmhc" / "pseudosequences.netmhcpan.34aa.csv.gz", "wt") as file:
        file.write("allele,pseudosequence\n")
        file.writelines(f"{name.replace('*', '')},{text}\n" for name, text in zip(names, pseudo, strict=True))


@pytest.fixture(scope="session")
def titan_folder(tmp_path_factory) -> Path:
    """A folder of data with a small TITAN."""
    folder = tmp_path_factory.mktemp("titan")
    write_titan(folder)
    return folder


@pytest.fixture(scope="session")
def mhc_folder(tmp_path_factory) -> Path:
    """A folder of data with few affinities of peptides."""
    folder = tmp_path_factory.mktemp("mhc")
    write_mhc(folder)
    return folder
